package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
)

var prober = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// ask runs a probe once.
func (k *container) ask(ctx context.Context, p *core.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(p.TimeoutSeconds, 1))*time.Second)
	defer cancel()
	switch {
	case p.HTTPGet != nil:
		address := net.JoinHostPort(k.pod.local, fmt.Sprint(k.port(p.HTTPGet.Port.String())))
		rq, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+p.HTTPGet.Path, nil)
		if err != nil {
			return err
		}
		answer, err := prober.Do(rq)
		if err != nil {
			return err
		}
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
		answer.Body.Close()
		if answer.StatusCode < 200 || answer.StatusCode >= 400 {
			return fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(body)))
		}
		return nil
	case p.TCPSocket != nil:
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(k.pod.local, fmt.Sprint(k.port(p.TCPSocket.Port.String()))))
		if err == nil {
			c.Close()
		}
		return err
	case p.Exec != nil:
		return k.runBeside(ctx, p.Exec.Command)
	}
	return nil
}

// port finds a container's port by its name; a number is itself.
func (k *container) port(name string) string {
	for _, port := range k.spec.Ports {
		if port.Name == name {
			return fmt.Sprint(port.ContainerPort)
		}
	}
	return name
}

// watch asks a probe again and again: onGood after its successThreshold, onBad after its failureThreshold, until ctx ends.
func (k *container) watch(ctx context.Context, p *core.Probe, onGood, onBad func(error)) {
	good, bad := int32(0), int32(0)
	if !nap(ctx, time.Duration(p.InitialDelaySeconds)*time.Second) {
		return
	}
	for {
		err := k.ask(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			good, bad = good+1, 0
			if good >= max(p.SuccessThreshold, 1) {
				onGood(nil)
			}
		} else {
			good, bad = 0, bad+1
			if bad >= max(p.FailureThreshold, 1) {
				onBad(err)
			}
		}
		if !nap(ctx, time.Duration(max(p.PeriodSeconds, 1))*time.Second) {
			return
		}
	}
}

// nap is false if ctx ended.
func nap(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
