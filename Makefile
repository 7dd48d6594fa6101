# A static binary, for containers with another libc or none.
export CGO_ENABLED = 0

# Build information; empty without git or outside a clone.
VERSION ?= $(shell git describe --tags --dirty --always --abbrev=12 2>/dev/null)
COMMIT ?= $(shell git rev-parse HEAD 2>/dev/null)
COMMITTED ?= $(shell TZ=UTC0 git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null)
PROGRAM := bin/git-credential-acp
FUZZTIME ?= 30s

.PHONY: build test-kube demo demo-server bench fuzz lint cross clean

build: $(PROGRAM) ## bin/git-credential-acp, one static binary

.PHONY: $(PROGRAM)
$(PROGRAM):
	go build -trimpath -buildvcs=false -o $@ \
		-ldflags "-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.committed=$(COMMITTED)" \
		./cmd/git-credential-acp

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# PREFIX is where it is installed, DESTDIR a directory that stands for the root, for
# packages. The paths have to be quoted, since both may contain spaces.
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
INSTALLED = "$(DESTDIR)$(BINDIR)/git-credential-acp" \
	"$(DESTDIR)$(MANDIR)/man1"/git-credential-acp.1 "$(DESTDIR)$(MANDIR)/man1"/git-credential-acp-*.1 \
	"$(DESTDIR)$(MANDIR)/man7/git-credential-acp-settings.7" \
	"$(DESTDIR)$(BASHDIR)/git-credential-acp" "$(DESTDIR)$(ZSHDIR)/_git-credential-acp" \
	"$(DESTDIR)$(FISHDIR)/git-credential-acp.fish"

# Under sudo, which often has no Go in its PATH, nothing is built.
.PHONY: install uninstall
install: $(if $(SUDO_UID),,build pages) ## the program, manual pages and completions, below PREFIX (/usr/local) in DESTDIR
	@test -x $(PROGRAM) && test -d $(EXTRAS)/man || { echo 'run make build pages first, without sudo' >&2; exit 1; }
	install -d "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(MANDIR)/man1" "$(DESTDIR)$(MANDIR)/man7" "$(DESTDIR)$(BASHDIR)" "$(DESTDIR)$(ZSHDIR)" "$(DESTDIR)$(FISHDIR)"
	install -m 0755 $(PROGRAM) "$(DESTDIR)$(BINDIR)/git-credential-acp"
	install -m 0644 $(EXTRAS)/man/*.1 "$(DESTDIR)$(MANDIR)/man1"
	install -m 0644 $(EXTRAS)/man/*.7 "$(DESTDIR)$(MANDIR)/man7"
	install -m 0644 $(EXTRAS)/completions/git-credential-acp.bash "$(DESTDIR)$(BASHDIR)/git-credential-acp"
	install -m 0644 $(EXTRAS)/completions/_git-credential-acp "$(DESTDIR)$(ZSHDIR)/_git-credential-acp"
	install -m 0644 $(EXTRAS)/completions/git-credential-acp.fish "$(DESTDIR)$(FISHDIR)/git-credential-acp.fish"

uninstall: ## remove what make install with the same PREFIX and DESTDIR installed
	rm -f $(INSTALLED)

# Many tests wait for time limits, so more run at once than there are processors.
TEST := go test -timeout 20m -p 4 -parallel 12
# The race detector needs a C compiler.
RACETEST := $(if $(shell command -v "$$(go env CC)"),CGO_ENABLED=1 go test -timeout 20m -p 4 -parallel 8 -race,$(TEST))

# The scripts in cmd start thousands of programs, which the race detector makes three
# times slower: test-git runs some of them with it.
.PHONY: test
test: ## all tests, with the real git and a local fake GitLab
	$(RACETEST) ./internal/...
	$(TEST) ./cmd/...

# The tests that run git, with a newer git and git-lfs, unpacked once next to Go's
# build cache; then with the local git, the newer git-lfs and the race detector at
# least one script for each command.
ACP_GIT_ASSETS ?= $(dir $(shell go env GOCACHE))git-credential-acp/git-sid

RACESCRIPTS := backend-time|cache-trouble|check|check-all|clone-push|connect|disconnect|erase|install|platform|rotate.*|serve.*|setup|shared-session|status|usage|verdicts

.PHONY: test-git
test-git: ## the tests that run git, with git and git-lfs of a newer Debian
	@.ci/fetch-git "$(ACP_GIT_ASSETS)"
	PATH="$(ACP_GIT_ASSETS)/git:$(ACP_GIT_ASSETS)/git-lfs:$$PATH" $(TEST) -count=1 ./cmd/... ./internal/cli ./internal/gitconfig ./internal/gitlabtest ./internal/setup
	PATH="$(ACP_GIT_ASSETS)/git-lfs:$$PATH" $(RACETEST) -count=1 -run 'TestScripts/($(RACESCRIPTS))$$' ./cmd/...

# Tests against a real Kubernetes API server and etcd, in a module of their own.
# Both are built from source once per version (ten minutes or more) and kept next
# to Go's build cache.
KUBETEST := internal/kubetest
KUBE_VERSION = $(shell go -C $(KUBETEST) list -m -f '{{.Version}}' k8s.io/kubernetes)
ETCD_VERSION = $(shell go -C $(KUBETEST) list -m -f '{{.Version}}' go.etcd.io/etcd/server/v3)
ACP_KUBE_ASSETS ?= $(dir $(shell go env GOCACHE))git-credential-acp/kubernetes-$(KUBE_VERSION)

test-kube: ## tests against a real kube-apiserver and etcd, which are built once
	@$(call assemble,etcd-$(ETCD_VERSION),go.etcd.io/etcd/server/v3)
	@ln -sf etcd-$(ETCD_VERSION) "$(ACP_KUBE_ASSETS)/etcd"
	@$(call assemble,kube-apiserver,k8s.io/kubernetes/cmd/kube-apiserver)
	go -C $(KUBETEST) vet ./...
	ACP_KUBE_ASSETS="$(ACP_KUBE_ASSETS)" go -C $(KUBETEST) test -count=1 .

# The manifests on a real node: with what test-kube builds, the rest of Kubernetes, and
# containerd and runc from Debian packages. It needs root, and skips with a word where
# it can't run; NODE=required makes that an error. The test ends itself in 12 minutes.
ACP_NODE_ASSETS ?= $(dir $(shell go env GOCACHE))git-credential-acp/node-sid

.PHONY: test-node
test-node: ## the manifests on a real Kubernetes node (needs root), whose parts are built once
	@.ci/fetch-node "$(ACP_NODE_ASSETS)" "$(ACP_GIT_ASSETS)"; code=$$?; test $$code != 77 || test "$(NODE)" = required || exit 0; test $$code = 0 || exit 1; \
	$(call assemble,etcd-$(ETCD_VERSION),go.etcd.io/etcd/server/v3); \
	ln -sf etcd-$(ETCD_VERSION) "$(ACP_KUBE_ASSETS)/etcd"; \
	$(foreach program,kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl,$(call assemble,$(program),k8s.io/kubernetes/cmd/$(program));) \
	ACP_KUBE_ASSETS="$(ACP_KUBE_ASSETS)" ACP_NODE_ASSETS="$(ACP_NODE_ASSETS)" go -C $(KUBETEST) test -v -count=1 -parallel 4 -timeout 15m $(NODEFLAGS) ./node

# Build to a temporary name, then rename.
assemble = set -e; program="$(ACP_KUBE_ASSETS)/$(1)"; test -x "$$program" || { echo "building $$program"; mkdir -p "$(ACP_KUBE_ASSETS)"; \
	go -C $(KUBETEST) build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$(KUBE_VERSION)" -o "$$program.new" $(2); \
	mv "$$program.new" "$$program"; }

demo: $(PROGRAM) ## a clone, a push, a refusal and an agent behind serve, against the fake GitLab
	go run ./internal/demo $(PROGRAM)

# Runs the demo's fake GitLab until Ctrl-C, to try the program by hand.
demo-server: $(PROGRAM) ## the fake GitLab until Ctrl-C, to try the program by hand
	@go build -o bin/demo ./internal/demo
	@bin/demo -server $(PROGRAM)

# Fails if a row exceeds its limit. BENCH=-quick has too few rounds to judge times
# and checks only counts.
bench: $(PROGRAM) ## the table of docs/performance.md (BENCH=-quick judges only counts)
	go run ./internal/bench $(BENCH) $(PROGRAM)

# Each fuzz target for FUZZTIME: a duration, or a number of inputs (10000x). A
# failing input is written to testdata/fuzz: commit it with the fix.
fuzz: ## each fuzz target for FUZZTIME (30s, or 10000x inputs)
	@set -e; grep -or --include='*_test.go' '^func Fuzz[A-Za-z]*' internal | sed 's,/[^/]*:func , ,' | sort | \
	while read -r package target; do \
		echo "$$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x "./$$package"; \
	done

# Completions, manual pages, licenses and root certificates for a release, in
# bin/extras.
EXTRAS := bin/extras
GO_LICENSES := github.com/google/go-licenses@v1.6.0

.PHONY: extras extras-check pages
extras: pages ## completions, manual pages, licenses and root certificates, in bin/extras
	go run ./internal/release roots $(EXTRAS)/ca-certificates.crt
	bash internal/release/licenses.sh $(GO_LICENSES) $(EXTRAS)/THIRD-PARTY-LICENSES

pages: $(PROGRAM) ## completions and manual pages, in bin/extras
	rm -rf $(EXTRAS) && mkdir -p $(EXTRAS)/completions
	$(PROGRAM) completion bash >$(EXTRAS)/completions/git-credential-acp.bash
	$(PROGRAM) completion zsh >$(EXTRAS)/completions/_git-credential-acp
	$(PROGRAM) completion fish >$(EXTRAS)/completions/git-credential-acp.fish
	$(PROGRAM) completion powershell >$(EXTRAS)/completions/git-credential-acp.ps1
	SOURCE_DATE_EPOCH=$(EPOCH) go run ./internal/release man $(EXTRAS)/man

# man and mandoc must render the manual pages without warnings, and real shells
# must complete. Needs man-db, mandoc, bash-completion, fish and zsh.
extras-check: extras ## check them with man, mandoc and real shells
	mandoc -Tlint -Werror $(EXTRAS)/man/*
	@set -e; for page in $(EXTRAS)/man/*; do \
		warnings=$$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings --local-file "$$page" 2>&1 >/dev/null); \
		test -z "$$warnings" || { echo "$$page: $$warnings"; exit 1; }; \
	done
	bash internal/release/completions.bash $(PROGRAM)

cross: ## build and vet for the other systems
	@set -e; for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do \
		echo "$$target"; \
		GOOS=$${target%/*} GOARCH=$${target#*/} go build -o /dev/null ./...; \
		GOOS=$${target%/*} GOARCH=$${target#*/} go vet ./...; \
	done

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

lint: ## formatting, vet, linters
	@test -z "$$(gofmt -l .)" || { gofmt -l . | sed 's/^/gofmt would change /'; exit 1; }
	go vet ./...
	go mod tidy -diff
	go mod verify
	go -C $(KUBETEST) mod tidy -diff
	go -C $(KUBETEST) mod verify
	go run $(GOLANGCI_LINT) run

.PHONY: govulncheck

# Known vulnerabilities in linked code. It downloads Go's vulnerability database,
# so the workflow runs it, but .ci/run doesn't.
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

govulncheck: ## known vulnerabilities (needs the network)
	go run $(GOVULNCHECK) ./...

.PHONY: release reproducible image-context image image-check publish

GORELEASER := github.com/goreleaser/goreleaser/v2@v2.16.0
TAG = $(shell git describe --exact-match --tags --match 'v*' 2>/dev/null)
EPOCH = $(shell git log -1 --format=%ct 2>/dev/null)

# A release in dist: of the tag that is checked out, or a snapshot.
release: ## a release in dist: of the tag that is checked out, or a snapshot
	@git rev-parse --quiet --verify HEAD >/dev/null || { echo 'a release is made from a commit: this is not a clone' >&2; exit 1; }
	@$(if $(TAG),$(notes))
	$(goreleaser) $(if $(TAG),--skip=publish --release-notes bin/notes.md,--snapshot)
	$(MAKE) image

# If a commit has several tags, use the same one everywhere.
goreleaser = $(if $(TAG),GORELEASER_CURRENT_TAG=$(TAG) )go run $(GORELEASER) release --clean

# The section of CHANGELOG.md for the tag.
notes = mkdir -p bin && awk '/^\#\# /{on = index($$2, "[$(TAG:v%=%)]")} on && !/^\#\# /' CHANGELOG.md >bin/notes.md && \
	test -s bin/notes.md || { echo 'CHANGELOG.md has no entry for $(TAG)' >&2; exit 1; }

# The version that goreleaser set.
RELEASED = $(shell sed -n 's/.*"version":"\([^"]*\)".*/v\1/p' dist/metadata.json 2>/dev/null)

# Build context for Dockerfile: the binaries in dist and the extras of a release,
# otherwise built here.
image-context: $(if $(and $(RELEASED),$(wildcard $(EXTRAS)/THIRD-PARTY-LICENSES)),,extras) ## what Dockerfile needs, in bin/image
	rm -rf bin/image
	@set -e; for arch in amd64 arm64; do \
		program=$$(ls -d dist/git-credential-acp_linux_$${arch}_*/git-credential-acp 2>/dev/null) || { \
			$(MAKE) build PROGRAM=bin/linux-$$arch GOOS=linux GOARCH=$$arch; program=bin/linux-$$arch; }; \
		install -D -m 0755 "$$program" bin/image/$$arch/git-credential-acp; \
	done
	install -m 0644 LICENSE $(EXTRAS)/THIRD-PARTY-LICENSES $(EXTRAS)/ca-certificates.crt bin/image

image: image-context ## the container image, in dist/image (needs buildah)
	bash internal/release/image.sh build "$(RELEASED)" "$(COMMIT)" "$(EPOCH)"

# Runs the program in the image; needs root.
image-check: ## run the program in the image (needs root)
	bash internal/release/image.sh check "$(RELEASED)"

# Builds the release again from a clone in another directory, with another time
# zone and umask: linked again for all systems, and compiled again without the build
# cache for linux/amd64 (RELEASE_GOFLAGS). The result must be identical, except for
# goreleaser's records of its run.
reproducible: release ## build a release twice and compare
	@test -z "$$(git status --porcelain)" || { echo 'the second build has only what is committed: commit first' >&2; exit 1; }
	set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	git clone -q . "$$dir/another/place"; \
	(umask 077; TZ=Pacific/Chatham RELEASE_GOFLAGS=-a $(MAKE) -C "$$dir/another/place" release); \
	diff -r -x metadata.json -x artifacts.json -x config.yaml dist "$$dir/another/place/dist"
	cd dist && sha256sum --check --quiet SHA256SUMS && sha256sum SHA256SUMS

# For maintainers, on a tag: publish the release on GitHub and the image in a
# registry (TO, a name without a tag). Needs GITHUB_TOKEN and buildah login.
publish: ## for maintainers: publish the release of a tag, image TO
	@test -n "$(TAG)" || { echo 'no tag is checked out: tag the commit first (v1.2.3)' >&2; exit 1; }
	@test -n "$(TO)" || { echo 'set TO to the name of the image: make publish TO=registry/name' >&2; exit 1; }
	@test -n "$$GITHUB_TOKEN" || { echo 'GITHUB_TOKEN is not set' >&2; exit 1; }
	$(MAKE) release image-check
	$(goreleaser) --release-notes bin/notes.md
	$(MAKE) image
	bash internal/release/image.sh push "$(TAG)" "$(TO)"

clean: ## remove bin and dist
	rm -rf bin dist
