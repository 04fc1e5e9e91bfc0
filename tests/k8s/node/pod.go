package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

const publishEvery = 50 * time.Millisecond

// pod is one that was scheduled to a node of ours: a goroutine runs its containers, another tells the API server.
type pod struct {
	agent          *agent
	spec           *core.Pod // as it came; its status is ours to write
	dir            string
	address, local string
	inits, mains   []*container
	leave          context.Context
	leaveNow       context.CancelFunc

	mu     sync.Mutex
	phase  core.PodPhase
	since  map[core.PodConditionType]core.PodCondition
	until  time.Time // when it is killed, once it is being deleted
	dirty  chan struct{}
	closed chan struct{} // the containers are gone
}

// watchPods runs pods until ctx ends; then it ends them all.
func (a *agent) watchPods(ctx context.Context, nodes map[string]bool) error {
	var mu sync.Mutex
	pods := map[types.UID]*pod{}
	seen := func(object any) {
		p, ok := object.(*core.Pod)
		if !ok || !nodes[p.Spec.NodeName] {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		known := pods[p.UID]
		if known == nil && p.Status.Phase != core.PodSucceeded && p.Status.Phase != core.PodFailed {
			known = a.newPod(p)
			pods[p.UID] = known
			go known.run(ctx)
		}
		if known != nil && p.DeletionTimestamp != nil {
			known.deleteAt(p.DeletionTimestamp.Time)
		} else if known == nil && p.DeletionTimestamp != nil {
			go a.forget(p)
		}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(a.client, 0, informers.WithTweakListOptions(func(o *meta.ListOptions) {
		o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
	}))
	gone := func(object any) {
		if p, ok := object.(*core.Pod); ok {
			mu.Lock()
			known := pods[p.UID]
			delete(pods, p.UID)
			mu.Unlock()
			if known != nil {
				known.deleteAt(time.Now()) // it was deleted by force
			}
		}
	}
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, object any) { seen(object) }, DeleteFunc: gone})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	// The processes die with us.
	return nil
}

func (a *agent) newPod(p *core.Pod) *pod {
	address := a.addresses.next()
	k := &pod{agent: a, spec: p, dir: filepath.Join(a.dir, "pods", string(p.UID)), address: address, local: local(address), phase: core.PodPending,
		since: map[core.PodConditionType]core.PodCondition{}, dirty: make(chan struct{}, 1), closed: make(chan struct{})}
	k.leave, k.leaveNow = context.WithCancel(context.Background())
	waiting := core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: "PodInitializing"}}
	make := func(list []core.Container) (found []*container) {
		for i := range list {
			found = append(found, &container{pod: k, spec: &list[i],
				status: core.ContainerStatus{Name: list[i].Name, Image: list[i].Image, ImageID: list[i].Image, State: waiting}})
		}
		return found
	}
	k.inits, k.mains = make(p.Spec.InitContainers), make(p.Spec.Containers)
	return k
}

func (k *pod) name() string {
	return k.spec.Namespace + "/" + k.spec.Name
}

// change changes statuses and has them told.
func (k *pod) change(f func()) {
	k.mu.Lock()
	f()
	k.mu.Unlock()
	select {
	case k.dirty <- struct{}{}:
	default:
	}
}

func (k *pod) deleteAt(at time.Time) {
	k.mu.Lock()
	if k.until.IsZero() || at.Before(k.until) {
		k.until = at
	}
	k.mu.Unlock()
	k.leaveNow()
}

func (k *pod) deadline() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.until
}

func (k *pod) run(ctx context.Context) {
	go k.tell(ctx)
	defer os.RemoveAll(k.dir)
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		log.Printf("%s: %v", k.name(), err)
		return
	}
	k.change(func() {})
	phase := k.runContainers()
	k.change(func() { k.phase = phase })
	<-k.leave.Done()
	close(k.closed)
	k.agent.forget(k.spec)
}

func (k *pod) runContainers() core.PodPhase {
	policy := k.spec.Spec.RestartPolicy
	for _, c := range k.inits {
		if c.forEver(k.leave, policy, true) != 0 {
			return core.PodFailed
		}
		k.change(func() { c.status.Ready = true })
	}
	if k.leave.Err() != nil {
		return core.PodFailed
	}
	k.change(func() { k.phase = core.PodRunning })
	codes := make(chan int)
	for _, c := range k.mains {
		go func() { codes <- c.forEver(k.leave, policy, false) }()
	}
	phase := core.PodSucceeded
	for range k.mains {
		if <-codes != 0 {
			phase = core.PodFailed
		}
	}
	return phase
}

// tell writes the status whenever it changed, at most every publishEvery.
func (k *pod) tell(ctx context.Context) {
	for {
		select {
		case <-k.closed:
			return
		case <-ctx.Done():
			return
		case <-k.dirty:
		}
		patch, err := json.Marshal(map[string]any{"status": k.status()})
		if err == nil {
			_, err = k.agent.client.CoreV1().Pods(k.spec.Namespace).Patch(ctx, k.spec.Name, types.StrategicMergePatchType, patch, meta.PatchOptions{}, "status")
		}
		if err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
			log.Printf("%s: status: %v", k.name(), err)
			time.AfterFunc(time.Second, func() { k.change(func() {}) })
		}
		nap(ctx, publishEvery)
	}
}

func (k *pod) status() map[string]any {
	k.mu.Lock()
	defer k.mu.Unlock()
	initialized, ready := true, len(k.mains) > 0
	var inits, mains []core.ContainerStatus
	for _, c := range k.inits {
		inits = append(inits, *c.status.DeepCopy())
		initialized = initialized && c.status.Ready
	}
	for _, c := range k.mains {
		mains = append(mains, *c.status.DeepCopy())
		ready = ready && c.status.Ready
	}
	conditions := []core.PodCondition{k.condition(core.PodInitialized, initialized), k.condition(core.ContainersReady, ready), k.condition(core.PodReady, ready),
		k.condition(core.PodReadyToStartContainers, true)}
	started := k.since[core.PodReadyToStartContainers].LastTransitionTime
	return map[string]any{"phase": k.phase, "hostIP": "127.0.0.1", "podIP": k.address, "podIPs": []core.PodIP{{IP: k.address}}, "startTime": started,
		"conditions": conditions, "initContainerStatuses": inits, "containerStatuses": mains}
}

func (k *pod) condition(kind core.PodConditionType, is bool) core.PodCondition {
	state := core.ConditionFalse
	if is {
		state = core.ConditionTrue
	}
	if old, ok := k.since[kind]; !ok || old.Status != state {
		k.since[kind] = core.PodCondition{Type: kind, Status: state, LastTransitionTime: meta.Now()}
	}
	return k.since[kind]
}

// forget takes a pod whose containers are gone out of the API server.
func (a *agent) forget(p *core.Pod) {
	now := int64(0)
	err := a.client.CoreV1().Pods(p.Namespace).Delete(context.Background(), p.Name, meta.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &meta.Preconditions{UID: &p.UID}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		log.Printf("%s/%s: %v", p.Namespace, p.Name, err)
	}
}
