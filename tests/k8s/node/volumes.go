package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fillVolumes makes the pod's volumes below its folder: name to path. Secrets and ConfigMaps are written anew each time.
func (a *agent) fillVolumes(ctx context.Context, p *core.Pod, dir string) (map[string]string, error) {
	paths := map[string]string{}
	group := -1
	if s := p.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		group = int(*s.FSGroup)
	}
	for _, v := range p.Spec.Volumes {
		path := filepath.Join(dir, "volumes", v.Name)
		paths[v.Name] = path
		if err := os.MkdirAll(path, 0o755); err != nil {
			return nil, err
		}
		var err error
		switch {
		case v.EmptyDir != nil:
			err = os.Chmod(path, 0o2777)
		case v.Secret != nil:
			var s *core.Secret
			if s, err = a.client.CoreV1().Secrets(p.Namespace).Get(ctx, v.Secret.SecretName, meta.GetOptions{}); err == nil {
				err = writeFiles(path, s.Data, v.Secret.Items, v.Secret.DefaultMode, group)
			}
		case v.ConfigMap != nil:
			var m *core.ConfigMap
			if m, err = a.client.CoreV1().ConfigMaps(p.Namespace).Get(ctx, v.ConfigMap.Name, meta.GetOptions{}); err == nil {
				data := map[string][]byte{}
				for k, text := range m.Data {
					data[k] = []byte(text)
				}
				err = writeFiles(path, data, v.ConfigMap.Items, v.ConfigMap.DefaultMode, group)
			}
		default:
			err = fmt.Errorf("volume %s is of a kind that this agent does not know", v.Name)
		}
		if err == nil && group >= 0 {
			err = os.Chown(path, -1, group)
		}
		if err != nil {
			return nil, err
		}
	}
	return paths, nil
}

func writeFiles(dir string, data map[string][]byte, items []core.KeyToPath, mode *int32, group int) error {
	if len(items) == 0 {
		for key := range data {
			items = append(items, core.KeyToPath{Key: key, Path: key})
		}
	}
	for _, item := range items {
		value, ok := data[item.Key]
		if !ok {
			return fmt.Errorf("there is no key %s", item.Key)
		}
		bits := os.FileMode(0o644)
		if item.Mode != nil {
			bits = os.FileMode(*item.Mode)
		} else if mode != nil {
			bits = os.FileMode(*mode)
		}
		path := filepath.Join(dir, item.Path)
		if err := os.WriteFile(path, value, 0o600); err != nil {
			return err
		}
		if err := os.Chown(path, 0, group); err != nil {
			return err
		}
		if err := os.Chmod(path, bits); err != nil {
			return err
		}
	}
	return nil
}

// environment is what the container's process gets.
func (a *agent) environment(ctx context.Context, p *core.Pod, c *core.Container, address string) (map[string]string, error) {
	env := map[string]string{"PATH": cagePath, "HOSTNAME": p.Name, "HOME": "/"}
	for _, from := range c.EnvFrom {
		data, err := a.dataFrom(ctx, p.Namespace, from)
		if err != nil {
			return nil, err
		}
		for k, v := range data {
			env[from.Prefix+k] = v
		}
	}
	for _, e := range c.Env {
		value := expand(e.Value, env)
		var err error
		if f := e.ValueFrom; f != nil {
			value, err = a.valueFrom(ctx, p, c, f, address)
		}
		if err != nil {
			return nil, err
		}
		env[e.Name] = value
	}
	return env, nil
}

func (a *agent) dataFrom(ctx context.Context, namespace string, from core.EnvFromSource) (map[string]string, error) {
	if from.ConfigMapRef != nil {
		m, err := a.client.CoreV1().ConfigMaps(namespace).Get(ctx, from.ConfigMapRef.Name, meta.GetOptions{})
		if err != nil {
			return nil, err
		}
		return m.Data, nil
	}
	s, err := a.client.CoreV1().Secrets(namespace).Get(ctx, from.SecretRef.Name, meta.GetOptions{})
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for k, v := range s.Data {
		data[k] = string(v)
	}
	return data, nil
}

func (a *agent) valueFrom(ctx context.Context, p *core.Pod, c *core.Container, f *core.EnvVarSource, address string) (string, error) {
	switch {
	case f.FieldRef != nil:
		fields := map[string]string{"status.podIP": address, "status.hostIP": "127.0.0.1", "metadata.name": p.Name, "metadata.namespace": p.Namespace,
			"metadata.uid": string(p.UID), "spec.nodeName": p.Spec.NodeName, "spec.serviceAccountName": p.Spec.ServiceAccountName}
		if value, ok := fields[f.FieldRef.FieldPath]; ok {
			return value, nil
		}
	case f.ResourceFieldRef != nil && f.ResourceFieldRef.Resource == "limits.cpu":
		return strconv.FormatInt(c.Resources.Limits.Cpu().Value(), 10), nil
	case f.SecretKeyRef != nil:
		s, err := a.client.CoreV1().Secrets(p.Namespace).Get(ctx, f.SecretKeyRef.Name, meta.GetOptions{})
		if err != nil {
			return "", err
		}
		if value, ok := s.Data[f.SecretKeyRef.Key]; ok {
			return string(value), nil
		}
		return "", fmt.Errorf("Secret %s has no key %s", s.Name, f.SecretKeyRef.Key)
	case f.ConfigMapKeyRef != nil:
		m, err := a.client.CoreV1().ConfigMaps(p.Namespace).Get(ctx, f.ConfigMapKeyRef.Name, meta.GetOptions{})
		if err != nil {
			return "", err
		}
		return m.Data[f.ConfigMapKeyRef.Key], nil
	}
	return "", fmt.Errorf("a value from a source that this agent does not know: %v", f)
}

var reference = regexp.MustCompile(`\$\$|\$\(([A-Za-z_][A-Za-z0-9_]*)\)`)

// expand replaces $(NAME); what is unknown stays, and $$ is a dollar.
func expand(text string, env map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		if value, ok := env[strings.TrimSuffix(found[2:], ")")]; ok {
			return value
		}
		return found
	})
}
