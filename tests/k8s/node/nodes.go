package main

import (
	"context"
	"fmt"
	"log"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

const heartbeatEvery = 10 * time.Second

// registerNodes makes node-0, node-1, … in as many zones, and keeps them ready.
func registerNodes(ctx context.Context, c kubernetes.Interface, count int) (map[string]bool, error) {
	names := map[string]bool{}
	for i := range count {
		name := fmt.Sprintf("node-%d", i)
		names[name] = true
		labels := map[string]string{core.LabelHostname: name, core.LabelOSStable: "linux", core.LabelArchStable: "amd64", core.LabelTopologyZone: fmt.Sprintf("zone-%d", i)}
		_, err := c.CoreV1().Nodes().Create(ctx, &core.Node{ObjectMeta: meta.ObjectMeta{Name: name, Labels: labels}}, meta.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			// Controllers write to a new node, too.
			err = retry.RetryOnConflict(retry.DefaultBackoff, func() error { return beat(ctx, c, name) })
		}
		if err != nil {
			return nil, err
		}
	}
	go func() {
		for range time.Tick(heartbeatEvery) {
			for name := range names {
				if err := beat(ctx, c, name); err != nil && ctx.Err() == nil {
					log.Printf("%s: heartbeat: %v", name, err)
				}
			}
		}
	}()
	return names, nil
}

func beat(ctx context.Context, c kubernetes.Interface, name string) error {
	n, err := c.CoreV1().Nodes().Get(ctx, name, meta.GetOptions{})
	if err != nil {
		return err
	}
	n.Status.Capacity = core.ResourceList{
		core.ResourceCPU: resource.MustParse("64"), core.ResourceMemory: resource.MustParse("256Gi"),
		core.ResourcePods: resource.MustParse("200"), core.ResourceEphemeralStorage: resource.MustParse("1Ti")}
	n.Status.Allocatable = n.Status.Capacity
	n.Status.Conditions = []core.NodeCondition{{Type: core.NodeReady, Status: core.ConditionTrue, Reason: "KubeletReady",
		LastHeartbeatTime: meta.Now(), LastTransitionTime: n.CreationTimestamp}}
	_, err = c.CoreV1().Nodes().UpdateStatus(ctx, n, meta.UpdateOptions{})
	return err
}
