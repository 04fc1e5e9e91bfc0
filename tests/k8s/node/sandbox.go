package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// cage is what a container's process lives in.
type cage struct {
	Root     string // an empty folder, becomes /
	ReadOnly bool
	UID, GID int
	Groups   []int
	DropAll  bool
	Folders  map[string]string // where in the cage: from where; read-only
	Volumes  map[string]string // the same, writable
	Args     []string
	Env      []string
}

// starter starts processes from one thread that never ends: they are to die with the thread that is their parent.
type starter struct{ work chan func() }

func newStarter() *starter {
	s := &starter{work: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range s.work {
			f()
		}
	}()
	return s
}

// start runs a cage; its output goes to the file.
func (s *starter) start(c *cage, output *os.File) (*exec.Cmd, error) {
	spec, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe", "sandbox")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = output, output, []*os.File{r}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	done := make(chan error)
	s.work <- func() { done <- cmd.Start() }
	if err := <-done; err != nil {
		w.Close()
		return nil, err
	}
	_, err = w.Write(spec)
	w.Close()
	return cmd, err
}

// sandbox is the child: it builds the cage around itself and becomes the container's command.
func sandbox() error {
	runtime.LockOSThread()
	var c cage
	if err := json.NewDecoder(os.NewFile(3, "cage")).Decode(&c); err != nil {
		return err
	}
	parent := os.Getppid()
	if err := c.mount(); err != nil {
		return err
	}
	if err := unix.Chroot(c.Root); err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := c.giveUpRights(); err != nil {
		return err
	}
	// Changing the user forgot it.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	if os.Getppid() != parent {
		return fmt.Errorf("the agent is gone")
	}
	os.Clearenv()
	os.Setenv("PATH", cagePath)
	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, c.Args, c.Env)
}

const cagePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func (c *cage) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("a mount namespace: %w", err)
	}
	if err := unix.Mount("tmpfs", c.Root, "tmpfs", unix.MS_NOSUID, "mode=0755"); err != nil {
		return err
	}
	for _, name := range []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "etc"} {
		from := "/" + name
		info, err := os.Lstat(from)
		if err != nil {
			continue
		}
		if info.Mode()&os.ModeSymlink != 0 {
			target, err := os.Readlink(from)
			if err == nil {
				err = os.Symlink(target, filepath.Join(c.Root, name))
			}
			if err != nil {
				return err
			}
		} else if err := bind(from, filepath.Join(c.Root, name), true); err != nil {
			return err
		}
	}
	for _, name := range []string{"dev", "proc", "sys"} {
		if err := bind("/"+name, filepath.Join(c.Root, name), false); err != nil {
			return err
		}
	}
	if !c.ReadOnly {
		tmp := filepath.Join(c.Root, "tmp")
		if err := os.Mkdir(tmp, 0o777); err != nil {
			return err
		}
		if err := os.Chmod(tmp, 0o1777); err != nil {
			return err
		}
	}
	if err := bindAll(c.Root, c.Folders, true); err != nil {
		return err
	}
	if err := bindAll(c.Root, c.Volumes, false); err != nil {
		return err
	}
	if c.ReadOnly {
		return unix.Mount("", c.Root, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID, "")
	}
	return nil
}

// bindAll binds the outer folders first.
func bindAll(root string, folders map[string]string, readOnly bool) error {
	places := make([]string, 0, len(folders))
	for place := range folders {
		places = append(places, place)
	}
	sort.Strings(places)
	for _, place := range places {
		if err := bind(folders[place], filepath.Join(root, place), readOnly); err != nil {
			return err
		}
	}
	return nil
}

func bind(from, to string, readOnly bool) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if _, err := os.Stat(to); err == nil {
		// It is there: a file of /etc, or a folder of /usr.
	} else if info.IsDir() {
		err = os.MkdirAll(to, 0o755)
		if err != nil {
			return err
		}
	} else if err := os.WriteFile(to, nil, 0o644); err != nil {
		return err
	}
	if err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("%s at %s: %w", from, to, err)
	}
	if readOnly {
		if err := unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("%s read-only: %w", to, err)
		}
	}
	return nil
}

func (c *cage) giveUpRights() error {
	if c.DropAll {
		for capability := 0; capability <= unix.CAP_LAST_CAP; capability++ {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(capability), 0, 0, 0); err != nil && err != unix.EINVAL {
				return err
			}
		}
	}
	if err := syscall.Setgroups(c.Groups); err != nil {
		return err
	}
	if err := syscall.Setgid(c.GID); err != nil {
		return err
	}
	if err := syscall.Setuid(c.UID); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// passwd has a line for each user that pods run as: some programs refuse to be nobody.
func passwd(ids ...int) string {
	var b strings.Builder
	b.WriteString("root:x:0:0:root:/root:/bin/bash\n")
	for _, id := range ids {
		fmt.Fprintf(&b, "user%d:x:%d:%d::/:/usr/sbin/nologin\n", id, id, id)
	}
	return b.String()
}
