package main

import (
	"crypto/sha256"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// found is what syft says of a program, in short.
const found = `{"bomFormat":"CycloneDX","serialNumber":"urn:uuid:b5fd1bfc-0000-4000-8000-SERIAL","metadata":{
  "timestamp":"TIME","tools":{"components":[{"name":"syft","version":"1.46.0"}]},
  "component":{"bom-ref":"x","type":"file","name":"git-credential-acp","version":"v1.2.3"}},
 "components":[
  {"name":"github.com/ambient-code/git-credential-acp","version":"UNKNOWN","purl":"pkg:golang/github.com/ambient-code/git-credential-acp"},
  {"name":"github.com/spf13/cobra","version":"v1.10.2"}]}`

func TestSettle(t *testing.T) {
	digest := sha256.Sum256([]byte("program"))
	settled := func(serial, time string) string {
		t.Helper()
		out, err := settle([]byte(strings.NewReplacer("SERIAL", serial, "TIME", time).Replace(found)), digest, "v1.2.3", "2030-01-02T03:04:05Z")
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	first := settled("000000000001", "2031-01-01T00:00:00Z")
	if settled("000000000002", "2032-02-02T00:00:00Z") != first {
		t.Error("two scans of one program give two documents")
	}
	var got, want any
	if err := json.Unmarshal([]byte(first), &got); err != nil {
		t.Fatal(err)
	}
	// The first 16 bytes of the digest, with 8 as version and 10 (binary) as
	// variant.
	if err := json.Unmarshal([]byte(`{"bomFormat":"CycloneDX","serialNumber":"urn:uuid:1310ca2c-8932-8bd1-9866-8bd97442558a","metadata":{
	  "timestamp":"2030-01-02T03:04:05Z","tools":{"components":[{"name":"syft","version":"1.46.0"}]},
	  "component":{"bom-ref":"x","type":"application","name":"git-credential-acp","version":"v1.2.3",
	    "hashes":[{"alg":"SHA-256","content":"1310ca2c8932dbd118668bd97442558a3e1f546b5e15c69699dfbd6024f548d8"}]}},
	 "components":[
	  {"name":"github.com/ambient-code/git-credential-acp","version":"v1.2.3","purl":"pkg:golang/github.com/ambient-code/git-credential-acp@v1.2.3"},
	  {"name":"github.com/spf13/cobra","version":"v1.10.2"}]}`), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s", first)
	}
}

func TestSettleRefuses(t *testing.T) {
	own := `{"name":"github.com/ambient-code/git-credential-acp"}`
	for document, want := range map[string]string{
		`not JSON`: "invalid character",
		`{}`:       "found nothing",
		`{"metadata":{"component":{}},"components":[]}`:                        "found nothing",
		`{"components":[` + own + `]}`:                                         "found nothing",
		`{"metadata":{"component":{}},"components":[{"name":"x"}]}`:            "0 times",
		`{"metadata":{"component":{}},"components":[` + own + `,` + own + `]}`: "2 times",
	} {
		if _, err := settle([]byte(document), [sha256.Size]byte{}, "v1", "now"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", document, err, want)
		}
	}
}
