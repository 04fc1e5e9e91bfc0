package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	dialTimeout = 3 * time.Second
	countsEvery = 200 * time.Millisecond
	whysMax     = 20
)

// proxy is kube-proxy and the DNS: a listener for each port of each Service that hands connections to its endpoints in
// turn, and a hosts file for each namespace. A connection that finds no endpoint, or is not accepted by it, is refused,
// as it would be by the kernel's rules, and counted: counts.json says of each Service port how many were accepted and how
// many refused.
type proxy struct {
	dir      string
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister

	mu        sync.Mutex
	listeners map[string]*listener // by namespace/name:port
}

type listener struct {
	in                       net.Listener
	service, namespace, port string
	turn                     int
	Accepted, Refused        int
	Why                      []string
}

func startProxy(ctx context.Context, c kubernetes.Interface, dir string) (*proxy, error) {
	factory := informers.NewSharedInformerFactory(c, 0)
	p := &proxy{dir: dir, listeners: map[string]*listener{},
		services: factory.Core().V1().Services().Lister(), slices: factory.Discovery().V1().EndpointSlices().Lister()}
	changed := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { p.sync() },
		UpdateFunc: func(any, any) { p.sync() },
		DeleteFunc: func(any) { p.sync() },
	}
	if _, err := factory.Core().V1().Services().Informer().AddEventHandler(changed); err != nil {
		return nil, err
	}
	factory.Core().V1().Namespaces().Informer()
	factory.Discovery().V1().EndpointSlices().Informer()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	p.sync()
	go p.writeCounts(ctx)
	return p, nil
}

func (p *proxy) sync() {
	all, err := p.services.List(labels.Everything())
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := map[string]bool{}
	hosts := map[string]*strings.Builder{}
	for _, s := range all {
		if !strings.HasPrefix(s.Spec.ClusterIP, "10.") {
			continue
		}
		b := hosts[s.Namespace]
		if b == nil {
			b = &strings.Builder{}
			hosts[s.Namespace] = b
		}
		full := s.Name + "." + s.Namespace
		fmt.Fprintf(b, "%s %s %s %s.svc %s.svc.cluster.local\n", local(s.Spec.ClusterIP), s.Name, full, full, full)
		if s.Namespace == "default" { // the API server's own
			continue
		}
		for _, port := range s.Spec.Ports {
			key := fmt.Sprintf("%s/%s:%d", s.Namespace, s.Name, port.Port)
			wanted[key] = true
			if p.listeners[key] == nil {
				p.listen(key, s, port)
			}
		}
	}
	for key, l := range p.listeners {
		if !wanted[key] {
			l.in.Close()
			delete(p.listeners, key)
		}
	}
	for namespace, b := range hosts {
		p.writeHosts(namespace, b.String())
	}
}

// hostsFile is what pods of a namespace see as /etc/hosts; it is rewritten in place, because they have it mounted.
func (p *proxy) hostsFile(namespace string) string {
	path := filepath.Join(p.dir, "hosts", namespace)
	if _, err := os.Stat(path); err != nil {
		p.writeHosts(namespace, "")
	}
	return path
}

func (p *proxy) writeHosts(namespace, services string) {
	text := "127.0.0.1 localhost\n" + services
	path := filepath.Join(p.dir, "hosts", namespace)
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		log.Printf("%s: %v", path, err)
	}
}

func (p *proxy) listen(key string, s *core.Service, port core.ServicePort) {
	address := fmt.Sprintf("%s:%d", local(s.Spec.ClusterIP), port.Port)
	in, err := net.Listen("tcp", address)
	if err != nil {
		log.Printf("service %s: %v", key, err)
		return
	}
	l := &listener{in: in, service: s.Name, namespace: s.Namespace, port: port.Name}
	p.listeners[key] = l
	log.Printf("service %s at %s", key, address)
	go func() {
		for {
			front, err := in.Accept()
			if err != nil {
				return
			}
			go p.serve(l, front)
		}
	}()
}

// endpoints of a Service's port: the ready ones, or, if there are none, those that serve while they end.
func (p *proxy) endpoints(l *listener) []string {
	slices, err := p.slices.EndpointSlices(l.namespace).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: l.service}))
	if err != nil {
		return nil
	}
	var ready, serving []string
	for _, s := range slices {
		for _, port := range s.Ports {
			if port.Port == nil || (port.Name != nil && *port.Name != l.port) {
				continue
			}
			for _, e := range s.Endpoints {
				address := fmt.Sprintf("%s:%d", local(e.Addresses[0]), *port.Port)
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					ready = append(ready, address)
				} else if e.Conditions.Serving != nil && *e.Conditions.Serving {
					serving = append(serving, address)
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = serving
	}
	sort.Strings(ready)
	return ready
}

func (p *proxy) serve(l *listener, front net.Conn) {
	defer front.Close()
	endpoints := p.endpoints(l)
	if len(endpoints) == 0 {
		p.count(l, fmt.Sprintf("%s has no endpoints", l.service))
		refuse(front)
		return
	}
	p.mu.Lock()
	l.turn++
	address := endpoints[l.turn%len(endpoints)]
	p.mu.Unlock()
	back, err := net.DialTimeout("tcp", address, dialTimeout)
	if err != nil {
		p.count(l, err.Error())
		refuse(front)
		return
	}
	defer back.Close()
	p.count(l, "")
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(back, front)
		closeWrite(back)
		close(done)
	}()
	_, err = io.Copy(front, back)
	if err != nil {
		refuse(front)
	}
	closeWrite(front)
	select {
	case <-done:
	case <-time.After(dialTimeout):
		// Whoever ended its side and does not read the other's end is let go.
	}
}

func closeWrite(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

// refuse makes the close a reset: the client sees a connection that broke, not an answer without a word.
func refuse(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
}

func (p *proxy) count(l *listener, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if why == "" {
		l.Accepted++
		return
	}
	l.Refused++
	if len(l.Why) < whysMax {
		l.Why = append(l.Why, time.Now().Format("15:04:05.000 ")+why)
		log.Printf("service %s/%s refuses: %s", l.namespace, l.service, why)
	}
}

func (p *proxy) writeCounts(ctx context.Context) {
	path := filepath.Join(p.dir, "counts.json")
	for ctx.Err() == nil {
		p.mu.Lock()
		text, _ := json.Marshal(p.listeners)
		p.mu.Unlock()
		if err := os.WriteFile(path+".new", text, 0o644); err == nil {
			_ = os.Rename(path+".new", path)
		}
		time.Sleep(countsEvery)
	}
}
