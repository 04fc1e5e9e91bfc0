package main

import (
	"fmt"
	"strings"
	"sync"
)

// addresses hands out pods' addresses, each once.
type addresses struct {
	net  int
	mu   sync.Mutex
	used int
}

func (a *addresses) next() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used++
	return fmt.Sprintf("10.%d.%d.%d", a.net, a.used/250, a.used%250+1)
}

// local is where an address of the cluster is on this machine: 10.a.b.c is 127.a.b.c.
func local(address string) string {
	return "127." + strings.TrimPrefix(address, "10.")
}
