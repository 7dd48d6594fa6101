package connection

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

func parse(t *testing.T, url string) instance.Instance {
	t.Helper()
	i, err := instance.Parse(url, false)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// secretKeeper is the keeper of a Secret with these keys; nil for no Secret.
func secretKeeper(t *testing.T, data map[string]string) (*Secret, *cluster) {
	t.Helper()
	c := newCluster(t)
	if data != nil {
		c.put(data)
	}
	keeper, err := openSecret(c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return keeper, c
}

// entry is the platform's form of a token.
const entry = `{"token":"` + oldCanary + `","instanceUrl":"https://gitlab.example.com","updatedAt":"1700000000","userId":"dev"}`

// A Secret is read in either form, and a Secret without a token is not connected.
func TestSecretRead(t *testing.T) {
	for name, test := range map[string]struct {
		data      map[string]string
		immutable bool
		connected bool
		code      string // of Kept.Problem
		fixed     bool
		stuck     bool
	}{
		"missing":             {nil, false, false, "", false, false},
		"empty":               {map[string]string{}, false, false, "", false, false},
		"bare":                {map[string]string{"token": oldCanary, "instanceUrl": "https://gitlab.example.com"}, false, true, "", false, false},
		"the platform's form": {map[string]string{"credentials.json": entry}, false, true, "", false, false},
		"both forms":          {map[string]string{"credentials.json": entry, "token": oldCanary}, false, true, "two-forms", false, false},
		"no token":            {map[string]string{"other": "x"}, false, true, "token-key-missing", false, false},
		"broken":              {map[string]string{"credentials.json": "Canary"}, false, true, "credentials-garbled", false, false},
		"immutable":           {map[string]string{"token": oldCanary, "instanceUrl": "https://gitlab.example.com"}, true, true, "", true, false},
		"immutable, shared":   {map[string]string{"token": oldCanary, "instanceUrl": "https://gitlab.example.com", "other": "x"}, true, true, "", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			keeper, c := secretKeeper(t, test.data)
			if test.data != nil {
				c.secret.Immutable = test.immutable
			}
			kept, err := keeper.Read(t.Context())
			if err != nil || kept.Connected != test.connected || (kept.Fixed != nil) != test.fixed || (kept.Stuck != nil) != test.stuck {
				t.Fatalf("%v: %+v", err, kept)
			}
			if (kept.Problem == nil) != (test.code == "") || kept.Problem != nil && !message.Is(kept.Problem, test.code) {
				t.Errorf("problem %v, want %q", kept.Problem, test.code)
			}
			if test.connected && test.code == "" && (!Same(kept.Token, token.Issued(oldCanary)) || kept.Instance.URL() != "https://gitlab.example.com") {
				t.Errorf("read %v", kept.Instance)
			}
			if _, entered := test.data["credentials.json"]; entered && test.code == "" && kept.UpdatedAt != time.Unix(1700000000, 0) {
				t.Errorf("stored at %v", kept.UpdatedAt)
			}
			if test.data != nil && (kept.ID == "" || kept.Server == "") {
				t.Error("nothing tells it from another one")
			}
			if shown := fmt.Sprintf("%v %+v %#v", kept, kept, kept.Problem); strings.Contains(shown, "Canary") {
				t.Error("a token is printed")
			}
		})
	}
}

// A token is written in the form that is there. All else stays, and the authority with
// its instance.
func TestSecretWrite(t *testing.T) {
	example := "https://gitlab.example.com"
	for name, test := range map[string]struct {
		data   map[string]string
		change func(*Secret)
		to     string
		want   map[string]string
		labels bool
		code   string
	}{
		"new":                 {nil, nil, example, map[string]string{"token": freshCanary, "instanceUrl": example}, true, ""},
		"new, with authority": {nil, func(s *Secret) { s.CA = []byte("CA") }, example, map[string]string{"token": freshCanary, "ca.crt": "CA"}, true, ""},
		"beside others":       {map[string]string{"other": "x"}, nil, example, map[string]string{"token": freshCanary, "other": "x"}, true, ""},
		"bare": {map[string]string{"token": oldCanary, "instanceUrl": example, "ca.crt": "CA"}, nil, example,
			map[string]string{"token": freshCanary, "instanceUrl": example, "ca.crt": "CA"}, true, ""},
		"replaced": {map[string]string{"token": oldCanary, "instanceUrl": example}, func(s *Secret) { s.Replace = true }, example,
			map[string]string{"token": freshCanary}, false, ""},
		"both forms": {map[string]string{"credentials.json": entry, "token": oldCanary}, nil, example,
			map[string]string{"token": oldCanary}, false, "two-forms"},
	} {
		t.Run(name, func(t *testing.T) {
			keeper, c := secretKeeper(t, test.data)
			if test.change != nil {
				test.change(keeper)
			}
			old, err := keeper.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = keeper.Try(t.Context(), old)
			if c.key("token") != test.data["token"] {
				t.Error("Try has changed something")
			}
			if err == nil {
				err = keeper.Write(t.Context(), old, token.Issued(freshCanary), parse(t, test.to))
			}
			if (err == nil) != (test.code == "") || err != nil && !message.Is(err, test.code) {
				t.Fatalf("error %v, want %q", err, test.code)
			}
			for key, want := range test.want {
				if c.key(key) != want {
					t.Errorf("the key %s is wrong", key)
				}
			}
			if labeled := c.secret.Metadata.Labels["ambient-code.io/provider"] == "gitlab"; labeled != test.labels {
				t.Errorf("labels %v", c.secret.Metadata.Labels)
			}
		})
	}
}

// In the platform's form the rest of the entry stays, and the time is that of the
// change.
func TestSecretWriteEntry(t *testing.T) {
	keeper, c := secretKeeper(t, map[string]string{"credentials.json": entry})
	keeper.Now = func() time.Time { return time.Unix(1800000000, 0) }
	old, err := keeper.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Write(t.Context(), old, token.Issued(freshCanary), old.Instance); err != nil {
		t.Fatal(err)
	}
	want := `{"instanceUrl":"https://gitlab.example.com","token":"` + freshCanary + `","updatedAt":"1800000000","userId":"dev"}`
	if c.key("credentials.json") != want || c.key("token") != "" {
		t.Error("the entry is another one, or there are two forms")
	}
}

// What was changed, or replaced, since it was read is neither overwritten nor removed.
func TestSecretConflict(t *testing.T) {
	for name, change := range map[string]func(*cluster){
		"changed": func(c *cluster) { c.put(map[string]string{"token": otherCanary}) },
		"deleted": func(c *cluster) { c.secret = nil },
		"replaced": func(c *cluster) {
			c.secret = nil
			c.put(map[string]string{"token": otherCanary})
		},
	} {
		keeper, c := secretKeeper(t, map[string]string{"token": oldCanary, "instanceUrl": "https://gitlab.example.com"})
		old, err := keeper.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		change(c)
		before := c.key("token")
		if err := keeper.Write(t.Context(), old, token.Issued(freshCanary), old.Instance); !message.Is(err, "kube-conflict") {
			t.Errorf("%s: written: %v", name, err)
		}
		want := "kube-conflict"
		if name == "deleted" {
			want = "kube-missing"
		}
		if err := keeper.Remove(t.Context(), old); !message.Is(err, want) {
			t.Errorf("%s: removed: %v", name, err)
		}
		if c.key("token") != before {
			t.Errorf("%s: the other token is gone", name)
		}
	}
	// Keys that another program looks after are taken over only by force.
	keeper, c := secretKeeper(t, nil)
	var force string
	c.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch {
			force = r.URL.Query().Get("force")
			if force != "true" {
				failure(w, http.StatusConflict, "Conflict", "FieldManagerConflict")
				return true
			}
		}
		return false
	}
	i := parse(t, "https://gitlab.example.com")
	if err := keeper.Write(t.Context(), Kept{}, token.Issued(freshCanary), i); !message.Is(err, "kube-field-conflict") || force != "false" {
		t.Errorf("not forced: %v", err)
	}
	keeper.Force = true
	if err := keeper.Write(t.Context(), Kept{}, token.Issued(freshCanary), i); err != nil || c.key("token") != freshCanary {
		t.Errorf("forced: %v", err)
	}
}

// A Secret that has nothing else is deleted; of one that has, only our keys go.
func TestSecretRemove(t *testing.T) {
	for name, data := range map[string]map[string]string{
		"alone":    {"token": oldCanary, "instanceUrl": "https://gitlab.example.com", "ca.crt": "CA"},
		"entry":    {"credentials.json": entry},
		"shared":   {"token": oldCanary, "other": "stays"},
		"no token": {"other": "stays"},
	} {
		keeper, c := secretKeeper(t, data)
		old, err := keeper.Read(t.Context())
		if err == nil {
			err = keeper.Remove(t.Context(), old)
		}
		if err != nil || (c.secret != nil) != (data["other"] != "") || c.key("other") != data["other"] || c.key("token")+c.key("credentials.json") != "" {
			t.Errorf("%s: %v: %v", name, err, c.secret != nil)
		}
	}
	keeper, _ := secretKeeper(t, nil)
	if err := keeper.Remove(t.Context(), Kept{}); err != nil {
		t.Errorf("removed nothing: %v", err)
	}
}

// The platform tells of a connection and never shows its token; it stores another one
// and forgets it.
func TestPlatformKeeper(t *testing.T) {
	s := newScene(t, "platform")
	keeper, i := s.rotation().Keeper, parse(t, s.GitLab)
	if where := keeper.Where(); where != "the platform at "+s.Platform {
		t.Error(where)
	}
	read := func(connected bool) Kept {
		t.Helper()
		kept, err := keeper.Read(t.Context())
		if err != nil || kept.Connected != connected || !kept.Token.IsZero() || kept.CA != nil {
			t.Fatalf("%+v, %v", kept, err)
		}
		return kept
	}
	kept := read(true)
	if kept.Instance != i || time.Since(kept.UpdatedAt) > time.Minute {
		t.Errorf("%+v", kept)
	}
	if err := keeper.Try(t.Context(), kept); err != nil || s.kept() != oldCanary {
		t.Errorf("try: %v", err)
	}
	if err := keeper.Write(t.Context(), kept, token.Issued(freshCanary), i); err != nil || s.kept() != freshCanary {
		t.Errorf("write: %v", err)
	}
	for range 2 { // the second time there is nothing
		if err := keeper.Remove(t.Context(), kept); err != nil || s.kept() != "" {
			t.Errorf("remove: %v", err)
		}
		read(false)
	}
	// A platform that does not answer, or has lost its answer, is no empty one.
	s.platform.AddFault(gitlabtest.Fault{Match: "all", Status: 501})
	if _, err := keeper.Read(t.Context()); !message.Is(err, "platform-error") {
		t.Errorf("read: %v", err)
	}
	s.platform.ClearFaults()
	s.platform.AddFault(gitlabtest.Fault{Match: "connect", Cut: true})
	if err := keeper.Write(t.Context(), kept, token.Issued(freshCanary), i); !message.Is(err, "platform-uncertain") || s.platform.Count("connect") != 2 {
		t.Errorf("write: %v, %d requests", err, s.platform.Count("connect"))
	}
}
