package kube

import (
	"context"
	"encoding/json"
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
		patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{key: value}}}
		request := c.rest.Patch(types.MergePatchType).Body(encode(patch)).Param("fieldManager", Manager)
		if dryRun {
			request = request.Param("dryRun", metav1.DryRunAll)
		}
		switch _, problem := c.do(ctx, "patch", pods, name, request); {
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
	everything := Name{Namespace: namespace}
	body, err := c.ask(ctx, c.rest.Get().AbsPath(pods.path(everything)).
		SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").
		Param("labelSelector", selector).Param("limit", strconv.Itoa(maxPods)).
		Param("fieldSelector", "status.phase!=Succeeded,status.phase!=Failed"))
	var list metav1.PartialObjectMetadataList
	if err == nil {
		if json.Unmarshal(body, &list) != nil || list.Kind != "PartialObjectMetadataList" {
			err = errOther
		}
	}
	switch {
	case err != nil:
		return nil, c.explain(ctx, "list", pods, everything, err)
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
