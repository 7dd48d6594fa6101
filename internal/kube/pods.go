package kube

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// maxPods is the most pods that one call annotates.
const maxPods = 1000

// IsSelector reports whether a text is a label selector that does not match everything.
func IsSelector(text string) bool {
	selector, err := labels.Parse(text)
	return err == nil && !selector.Empty()
}

// AnnotatePods sets an annotation on the running pods of a namespace that a label selector
// matches, and returns their number. Any change of a pod makes kubelet sync it, and the
// Secrets that it mounts, at once instead of within two minutes. With dryRun, nothing is
// changed. It needs list and patch on pods. A pod that ends in the meantime is not counted.
func (c *Client) AnnotatePods(ctx context.Context, namespace, selector, key, value string, dryRun bool) (int, error) {
	names, problem := c.podNames(ctx, namespace, selector)
	if problem != nil {
		return 0, problem
	}
	done := 0
	for _, name := range names {
		change := map[string]any{"metadata": map[string]any{"annotations": map[string]string{key: value}}}
		switch _, problem := c.do(ctx, patch(pods, name, types.MergePatchType, change, dryRun)); {
		case Missing(problem):
		case problem != nil:
			return done, problem
		default:
			done++
		}
	}
	return done, nil
}

// podNames lists the pods for AnnotatePods. It requests only their metadata, since complete
// pods could exceed the limit of a reply.
func (c *Client) podNames(ctx context.Context, namespace, selector string) ([]Name, error) {
	all := request{verb: "list", resource: pods, name: Name{Namespace: namespace},
		header: http.Header{"Accept": {"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}},
		query: url.Values{"labelSelector": {selector}, "limit": {strconv.Itoa(maxPods)},
			"fieldSelector": {"status.phase!=Succeeded,status.phase!=Failed"}}}
	body, err := c.ask(ctx, all)
	var list metav1.PartialObjectMetadataList
	if err == nil {
		if json.Unmarshal(body, &list) != nil || list.Kind != "PartialObjectMetadataList" {
			err = errOther
		}
	}
	switch {
	case err != nil:
		return nil, c.explain(ctx, all, err)
	case list.Continue != "":
		return nil, errPodsTooMany(namespace, maxPods)
	}
	var names []Name
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			names = append(names, Name{namespace, pod.Name})
		}
	}
	return names, nil
}
