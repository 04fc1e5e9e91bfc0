package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	backoffFirst = time.Second
	backoffMax   = 10 * time.Second
)

// container is one of a pod's. Its status is the pod's, under the pod's lock.
type container struct {
	pod    *pod
	spec   *core.Container
	status core.ContainerStatus
	cage   *cage // of the process that runs, or ran last
}

// cageFor makes the surroundings of the next process, with today's ConfigMaps and Secrets.
func (k *container) cageFor(ctx context.Context) (*cage, error) {
	p, a := k.pod, k.pod.agent
	volumes, err := a.fillVolumes(ctx, p.spec, p.dir)
	if err != nil {
		return nil, err
	}
	env, err := a.environment(ctx, p.spec, k.spec, p.local)
	if err != nil {
		return nil, err
	}
	c := &cage{Root: filepath.Join(p.dir, "root"), DropAll: true, Volumes: map[string]string{},
		Folders: map[string]string{"/usr/local/bin": a.bin, "/etc/hosts": a.proxy.hostsFile(p.spec.Namespace), "/etc/passwd": filepath.Join(p.dir, "passwd")}}
	if err := os.MkdirAll(c.Root, 0o755); err != nil {
		return nil, err
	}
	command, args := k.spec.Command, k.spec.Args
	if img, ok := a.images[imageName(k.spec.Image)]; ok {
		if len(command) == 0 {
			command = img.Entrypoint
		}
		for to, from := range img.Folders {
			c.Folders[to] = from
		}
	}
	for _, word := range append(append([]string{}, command...), args...) {
		c.Args = append(c.Args, expand(word, env))
	}
	if len(c.Args) == 0 {
		return nil, fmt.Errorf("nobody says what %s runs", k.spec.Image)
	}
	for name, value := range env {
		c.Env = append(c.Env, name+"="+value)
	}
	for _, m := range k.spec.VolumeMounts {
		if m.ReadOnly {
			c.Folders[m.MountPath] = volumes[m.Name]
		} else {
			c.Volumes[m.MountPath] = volumes[m.Name]
		}
	}
	k.setUser(c)
	text := passwd(c.UID)
	return c, os.WriteFile(filepath.Join(p.dir, "passwd"), []byte(text), 0o644)
}

func (k *container) setUser(c *cage) {
	if s := k.pod.spec.Spec.SecurityContext; s != nil {
		if s.RunAsUser != nil {
			c.UID = int(*s.RunAsUser)
		}
		if s.RunAsGroup != nil {
			c.GID = int(*s.RunAsGroup)
		}
		if s.FSGroup != nil {
			c.Groups = append(c.Groups, int(*s.FSGroup))
		}
	}
	if s := k.spec.SecurityContext; s != nil {
		c.ReadOnly = s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem
	}
}

// imageName is the image without its tag.
func imageName(image string) string {
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		return image[:i]
	}
	return image
}

func (k *container) logFile() (*os.File, error) {
	name := fmt.Sprintf("%s_%s_%s.log", k.pod.spec.Namespace, k.pod.spec.Name, k.spec.Name)
	return os.OpenFile(filepath.Join(k.pod.agent.dir, "logs", name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// runBeside runs a command in surroundings like the container's: an exec probe, a preStop.
func (k *container) runBeside(ctx context.Context, command []string) error {
	c := *k.cage
	c.Args = command
	output, err := k.logFile()
	if err != nil {
		return err
	}
	defer output.Close()
	cmd, err := k.pod.agent.starter.start(&c, output)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
		return err
	case <-ctx.Done():
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		return ctx.Err()
	}
}

// once runs the container's process to its end and returns its exit code. When `leave` is done it is ended: preStop,
// SIGTERM, and SIGKILL at the deadline that the pod has by then.
func (k *container) once(leave context.Context, sidecars bool) (int, error) {
	c, err := k.cageFor(leave)
	if err != nil {
		return -1, err
	}
	output, err := k.logFile()
	if err != nil {
		return -1, err
	}
	defer output.Close()
	k.cage = c
	cmd, err := k.pod.agent.starter.start(c, output)
	if err != nil {
		return -1, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	probes, endProbes := context.WithCancel(context.Background())
	defer endProbes()
	sick := make(chan error, 1)
	k.pod.change(func() {
		now := meta.Now()
		yes := k.spec.StartupProbe == nil
		k.status.State = core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: now}}
		k.status.Started = &yes
		k.status.Ready = sidecars && k.spec.StartupProbe == nil && k.spec.ReadinessProbe == nil
	})
	if sidecars {
		go k.probe(probes, sick)
	}
	select {
	case err = <-ended:
	case why := <-sick:
		log.Printf("%s: %s is killed: %v", k.pod.name(), k.spec.Name, why)
		err = k.end(cmd, ended, time.Now().Add(time.Duration(*k.pod.spec.Spec.TerminationGracePeriodSeconds)*time.Second))
	case <-leave.Done():
		if h := k.spec.Lifecycle; h != nil && h.PreStop != nil {
			k.preStop(h.PreStop, ended)
		}
		err = k.end(cmd, ended, k.pod.deadline())
	}
	return exitCode(err), nil
}

// preStop holds the end back, at most until the pod's deadline.
func (k *container) preStop(h *core.LifecycleHandler, ended chan error) {
	ctx, cancel := context.WithDeadline(context.Background(), k.pod.deadline())
	defer cancel()
	switch {
	case h.Sleep != nil:
		nap(ctx, time.Duration(h.Sleep.Seconds)*time.Second)
	case h.Exec != nil:
		if err := k.runBeside(ctx, h.Exec.Command); err != nil {
			log.Printf("%s: preStop: %v", k.pod.name(), err)
		}
	}
}

func (k *container) end(cmd *exec.Cmd, ended chan error, deadline time.Time) error {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		return err
	case <-time.After(time.Until(deadline)):
		log.Printf("%s: %s did not end within its grace period", k.pod.name(), k.spec.Name)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return <-ended
	}
}

func exitCode(err error) int {
	var e *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e) && e.ExitCode() >= 0:
		return e.ExitCode()
	case errors.As(err, &e):
		return 128 + int(e.Sys().(syscall.WaitStatus).Signal())
	}
	return 1
}

// probe starts with the startup probe and goes on with the other two.
func (k *container) probe(ctx context.Context, sick chan<- error) {
	complain := func(err error) {
		select {
		case sick <- err:
		default:
		}
	}
	if k.spec.StartupProbe != nil {
		started, done := context.WithCancel(ctx)
		k.watch(started, k.spec.StartupProbe, func(error) { done() }, complain)
		done()
		if ctx.Err() != nil {
			return
		}
		yes := true
		k.pod.change(func() { k.status.Started, k.status.Ready = &yes, k.spec.ReadinessProbe == nil })
	}
	if k.spec.LivenessProbe != nil {
		go k.watch(ctx, k.spec.LivenessProbe, func(error) {}, complain)
	}
	if k.spec.ReadinessProbe != nil {
		k.watch(ctx, k.spec.ReadinessProbe,
			func(error) { k.pod.change(func() { k.status.Ready = true }) },
			func(error) { k.pod.change(func() { k.status.Ready = false }) })
	}
}

// forEver runs the container as the pod's restart policy says; it returns the last exit code.
func (k *container) forEver(leave context.Context, policy core.RestartPolicy, isInit bool) int {
	backoff := backoffFirst
	for {
		code, err := k.once(leave, !isInit)
		now := meta.Now()
		again := policy == core.RestartPolicyAlways && !isInit || policy != core.RestartPolicyNever && code != 0 || err != nil
		k.pod.change(func() {
			k.status.Ready = false
			no := false
			k.status.Started = &no
			if err != nil {
				k.status.State = core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: err.Error()}}
				return
			}
			reason := "Completed"
			if code != 0 {
				reason = "Error"
			}
			ended := core.ContainerState{Terminated: &core.ContainerStateTerminated{ExitCode: int32(code), Reason: reason, FinishedAt: now, StartedAt: now}}
			k.status.State = ended
			if again && leave.Err() == nil {
				k.status.LastTerminationState = ended
				k.status.State = core.ContainerState{Waiting: &core.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: fmt.Sprintf("it ended with code %d", code)}}
				k.status.RestartCount++
			}
		})
		if err != nil {
			log.Printf("%s: %s: %v", k.pod.name(), k.spec.Name, err)
		} else if code != 0 {
			log.Printf("%s: %s ended with code %d", k.pod.name(), k.spec.Name, code)
		}
		if !again || leave.Err() != nil || !nap(leave, backoff) {
			return code
		}
		backoff = min(2*backoff, backoffMax)
	}
}
