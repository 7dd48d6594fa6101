package connection

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

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

// entry is a token in the platform's form.
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
			if err != nil || kept.Connected != test.connected || (kept.Unwritable != nil) != test.fixed || (kept.Unremovable != nil) != test.stuck {
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
				t.Error("no ID or server")
			}
			if shown := fmt.Sprintf("%v %+v %#v", kept, kept, kept.Problem); strings.Contains(shown, "Canary") {
				t.Error("a token is printed")
			}
		})
	}
}

// A token is written in the existing form. Other keys stay, and the authority stays for the
// same instance.
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

// In the platform's form, the other fields stay, and the time is set.
func TestSecretWriteEntry(t *testing.T) {
	keeper, c := secretKeeper(t, map[string]string{"credentials.json": entry})
	old, err := keeper.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := time.Now().Truncate(time.Second)
	if err := keeper.Write(t.Context(), old, token.Issued(freshCanary), old.Instance); err != nil {
		t.Fatal(err)
	}
	now, err := keeper.Read(t.Context())
	if err != nil || now.UpdatedAt.Before(before) || now.UpdatedAt.After(time.Now()) {
		t.Errorf("stored at %v: %v", now.UpdatedAt, err)
	}
	want := fmt.Sprintf(`{"instanceUrl":"https://gitlab.example.com","token":%q,"updatedAt":"%d","userId":"dev"}`, freshCanary, now.UpdatedAt.Unix())
	if c.key("credentials.json") != want || c.key("token") != "" {
		t.Error("the entry is wrong, or there are two forms")
	}
}

// A Secret that was changed or replaced since it was read is neither overwritten nor removed.
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
	// Keys that another program manages are taken over only with Force.
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

// A Secret with only our keys is deleted; from another one, only our keys are removed.
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
