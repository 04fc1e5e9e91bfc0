// Command node is the agent of a few nodes on one machine. It runs the command of each container of each pod that is
// scheduled to them as a local process: in a mount namespace with the pod's ConfigMaps, Secrets and empty folders, as the
// pod's user, with a read-only root where the pod asks for it, at an address of its own in 127.0.0.0/8. It probes them,
// restarts them, ends them by preStop, SIGTERM and SIGKILL, and stands in for kube-proxy and for the cluster's DNS.
//
// The API server refuses endpoints in 127.0.0.0/8. So a pod's address is 10.a.b.c to the cluster and 127.a.b.c here, a
// Service's likewise (see local in addresses.go).
//
// It needs root (or a user namespace), Linux, and nothing that runs containers.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// An image stands for what is in a real one: an entry point for containers without a command, and folders beside the
// machine's own /usr and /etc.
type image struct {
	Entrypoint []string          `json:"entrypoint"`
	Folders    map[string]string `json:"folders"` // where: from where
}

type agent struct {
	client    kubernetes.Interface
	dir       string // everything that is written
	bin       string // becomes /usr/local/bin
	images    map[string]image
	addresses *addresses
	starter   *starter
	proxy     *proxy
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "sandbox" {
		fmt.Fprintln(os.Stderr, "node: sandbox:", sandbox())
		os.Exit(126)
	}
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	if err := run(); err != nil {
		log.Fatal("node: ", err)
	}
}

func run() error {
	kubeconfig := flag.String("kubeconfig", "", "the kubeconfig `file`")
	dir := flag.String("dir", "", "the `folder` for pods' files and logs")
	bin := flag.String("bin", "", "the `folder` that pods see as /usr/local/bin")
	images := flag.String("images", "", "a JSON `file`: name of an image to its entry point and folders")
	nodes := flag.Int("nodes", 3, "how many nodes")
	podNet := flag.Int("pod-net", 244, "pods get 10.`N`.x.y")
	flag.Parse()

	cfg, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	cfg.QPS, cfg.Burst = 200, 400
	a := &agent{client: kubernetes.NewForConfigOrDie(cfg), bin: *bin, addresses: &addresses{net: *podNet}, starter: newStarter()}
	if a.dir, err = filepath.Abs(*dir); err != nil {
		return err
	}
	text, err := os.ReadFile(*images)
	if err == nil {
		err = json.Unmarshal(text, &a.images)
	}
	if err != nil {
		return err
	}
	for _, folder := range []string{"logs", "pods", "hosts"} {
		if err := os.MkdirAll(filepath.Join(a.dir, folder), 0o755); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if a.proxy, err = startProxy(ctx, a.client, a.dir); err != nil {
		return err
	}
	names, err := registerNodes(ctx, a.client, *nodes)
	if err != nil {
		return err
	}
	return a.watchPods(ctx, names)
}
