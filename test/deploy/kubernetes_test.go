package deploy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// cluster is what an overlay makes.
type cluster struct {
	deployments []*appsv1.Deployment
	sets        []*appsv1.StatefulSet
	services    map[string]*corev1.Service
	configs     map[string]*corev1.ConfigMap
	ingresses   []*networkingv1.Ingress
	policies    []*networkingv1.NetworkPolicy
	budgets     []*policyv1.PodDisruptionBudget
}

// built runs kustomize over a folder of deploy/kubernetes and reads every object strictly into
// the type that Kubernetes has for it: a field that does not exist is an error.
func built(t *testing.T, overlay string) cluster {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "deploy", "kubernetes", overlay))
	if err != nil {
		t.Fatal(err)
	}
	text, err := made.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	all := cluster{services: map[string]*corev1.Service{}, configs: map[string]*corev1.ConfigMap{}}
	for object := range bytes.SplitSeq(text, []byte("\n---\n")) {
		all.add(t, object)
	}
	return all
}

func (c *cluster) add(t *testing.T, object []byte) {
	t.Helper()
	var head struct {
		APIVersion, Kind string
	}
	if err := yaml.Unmarshal(object, &head); err != nil {
		t.Fatal(err)
	}
	read := func(into any) {
		if err := yaml.UnmarshalStrict(object, into); err != nil {
			t.Errorf("%s: %v", head.Kind, err)
		}
	}
	switch head.APIVersion + "/" + head.Kind {
	case "apps/v1/Deployment":
		d := new(appsv1.Deployment)
		read(d)
		c.deployments = append(c.deployments, d)
	case "apps/v1/StatefulSet":
		s := new(appsv1.StatefulSet)
		read(s)
		c.sets = append(c.sets, s)
	case "v1/Service":
		s := new(corev1.Service)
		read(s)
		c.services[s.Name] = s
	case "v1/ConfigMap":
		m := new(corev1.ConfigMap)
		read(m)
		c.configs[m.Name] = m
	case "networking.k8s.io/v1/Ingress":
		i := new(networkingv1.Ingress)
		read(i)
		c.ingresses = append(c.ingresses, i)
	case "networking.k8s.io/v1/NetworkPolicy":
		p := new(networkingv1.NetworkPolicy)
		read(p)
		c.policies = append(c.policies, p)
	case "policy/v1/PodDisruptionBudget":
		b := new(policyv1.PodDisruptionBudget)
		read(b)
		c.budgets = append(c.budgets, b)
	default:
		t.Errorf("the test does not know %s %s", head.APIVersion, head.Kind)
	}
}

// TestKubernetes: what both overlays make is what Kubernetes has, its parts find one another,
// and no pod may do more than it needs.
func TestKubernetes(t *testing.T) {
	for _, overlay := range []string{"redis", "postgres"} {
		t.Run(overlay, func(t *testing.T) {
			c := built(t, overlay)
			if len(c.deployments) != 1 || len(c.ingresses) != 1 || len(c.policies) != 1 || len(c.budgets) != 1 {
				t.Fatalf("it makes %+v", c)
			}
			gateway := c.deployments[0]
			if *gateway.Spec.Replicas != 2 {
				t.Errorf("%d gateways", *gateway.Spec.Replicas)
			}
			pods := []corev1.PodTemplateSpec{gateway.Spec.Template}
			for _, set := range c.sets {
				pods = append(pods, set.Spec.Template)
			}
			for _, pod := range pods {
				modest(t, pod)
			}
			checkConfig(t, c, gateway.Spec.Template)
			checkServices(t, c, pods)
			checkStore(t, c, gateway.Spec.Template.Spec.Containers[0])
		})
	}
}

// modest: the restricted profile of Kubernetes, limits, and no token of the cluster.
func modest(t *testing.T, pod corev1.PodTemplateSpec) {
	t.Helper()
	spec := pod.Spec
	if spec.SecurityContext == nil || !*spec.SecurityContext.RunAsNonRoot || *spec.SecurityContext.RunAsUser == 0 ||
		spec.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || *spec.AutomountServiceAccountToken {
		t.Errorf("the pod may do too much: %+v", spec.SecurityContext)
	}
	for _, c := range spec.Containers {
		s := c.SecurityContext
		if s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("%s may do too much: %+v", c.Name, s)
		}
		if c.Resources.Limits.Memory().IsZero() || c.ReadinessProbe == nil {
			t.Errorf("%s has no limit of memory, or no probe", c.Name)
		}
	}
}

// checkConfig: the configuration is mounted where the command line looks for it, is one by the
// schema, and listens at the ports that the pod names.
func checkConfig(t *testing.T, c cluster, pod corev1.PodTemplateSpec) {
	t.Helper()
	container := pod.Spec.Containers[0]
	mounted := map[string]string{}
	for _, m := range container.VolumeMounts {
		mounted[m.Name] = m.MountPath
	}
	var config string
	for _, v := range pod.Spec.Volumes {
		if mounted[v.Name] == "" {
			t.Errorf("the volume %s is not mounted", v.Name)
		}
		if v.ConfigMap == nil {
			if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil {
				t.Errorf("the volume %s has no bound", v.Name)
			}
			continue
		}
		m := c.configs[v.ConfigMap.Name]
		if m == nil {
			t.Fatalf("there is no ConfigMap %s", v.ConfigMap.Name)
		}
		for name, text := range m.Data {
			if slices.Contains(container.Args, mounted[v.Name]+"/"+name) {
				config = text
			}
		}
	}
	if err := against(schema(t), config); err != nil || config == "" {
		t.Errorf("%v %q", err, config)
	}
	for _, port := range []string{":8300\n", ":8301\n"} {
		if !strings.Contains(config, port) {
			t.Errorf("nothing listens at %s", port)
		}
	}
	if p := container.Ports; len(p) != 2 || p[0].ContainerPort != 8300 || p[1].ContainerPort != 8301 {
		t.Errorf("its ports are %+v", p)
	}
	if grace := *pod.Spec.TerminationGracePeriodSeconds; grace <= 35 {
		t.Errorf("it is killed after %d s, and needs 35", grace)
	}
}

// checkServices: each service finds a pod with the port that it names; the ingress passes
// /callback/ alone to one.
func checkServices(t *testing.T, c cluster, pods []corev1.PodTemplateSpec) {
	t.Helper()
	for name, s := range c.services {
		found := false
		for _, pod := range pods {
			if pod.Labels["app"] != s.Spec.Selector["app"] {
				continue
			}
			for _, p := range pod.Spec.Containers[0].Ports {
				found = found || p.Name == s.Spec.Ports[0].TargetPort.StrVal
			}
		}
		if !found {
			t.Errorf("the service %s leads nowhere", name)
		}
	}
	for _, rule := range c.ingresses[0].Spec.Rules {
		if len(rule.HTTP.Paths) != 1 || rule.HTTP.Paths[0].Path != "/callback/" || c.services[rule.HTTP.Paths[0].Backend.Service.Name] == nil {
			t.Errorf("the ingress passes %+v", rule.HTTP.Paths)
		}
	}
}

// checkStore: the gateways have a store that both reach, and it is there if it is in the cluster.
func checkStore(t *testing.T, c cluster, container corev1.Container) {
	t.Helper()
	for _, e := range container.Env {
		if e.Name != "ZHONGKONG_STORE" {
			continue
		}
		if e.Value == "" && e.ValueFrom.SecretKeyRef.Name != "zhongkong" {
			t.Errorf("the store comes from %+v", e.ValueFrom)
		}
		if e.Value != "" && (c.services["zhongkong-redis"] == nil || !strings.Contains(e.Value, "@zhongkong-redis:6379")) {
			t.Errorf("there is no %s", e.Value)
		}
		return
	}
	t.Error("the gateways have no store")
}

// TestExternalSecret: it makes the Secret that the gateways read, with every key that the
// configuration and the overlays ask for, and is as the operator's own definition wants it.
func TestExternalSecret(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(root, "deploy", "kubernetes", "external-secret.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	value, operators := inJSON(t, content), definition(t, "v1")
	if err := operators.Validate(value); err != nil {
		t.Error(err)
	}
	value.(map[string]any)["spec"].(map[string]any)["refreshIntervall"] = "1h"
	if operators.Validate(value) == nil {
		t.Error("a field that the operator does not know is taken")
	}
	var secret struct {
		Kind string `json:"kind"`
		Spec struct {
			Target struct{ Name string } `json:"target"`
			Data   []struct {
				SecretKey string `json:"secretKey"`
			} `json:"data"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(content, &secret); err != nil {
		t.Fatal(err)
	}
	if secret.Kind != "ExternalSecret" || secret.Spec.Target.Name != "zhongkong" {
		t.Errorf("it makes %+v", secret.Spec.Target)
	}
	var keys []string
	for _, d := range secret.Spec.Data {
		keys = append(keys, d.SecretKey)
	}
	config, err := os.ReadFile(filepath.Join(root, "deploy", "kubernetes", "base", "zhongkong.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"ZHONGKONG_SEAL_KEY", "ZHONGKONG_STORE", "REDIS_PASSWORD"}
	var settings any
	if err := yaml.Unmarshal(config, &settings); err != nil {
		t.Fatal(err)
	}
	wanted = append(wanted, variables(settings)...)
	for _, name := range wanted {
		if !slices.Contains(keys, name) {
			t.Errorf("the Secret has no %s", name)
		}
	}
}

// variables returns the environment variables that a configuration reads. What is commented
// out reads none.
func variables(node any) (names []string) {
	switch node := node.(type) {
	case []any:
		for _, one := range node {
			names = append(names, variables(one)...)
		}
	case map[string]any:
		if name, ok := node["env"].(string); ok {
			return []string{name}
		}
		for _, one := range node {
			names = append(names, variables(one)...)
		}
	}
	return names
}

// operator is the External Secrets Operator, whose module has the definitions that a cluster
// is given. Only a file of it is read.
const operator = "github.com/external-secrets/external-secrets@v1.3.2"

// definition returns the operator's schema of an ExternalSecret. As in a cluster that refuses
// unknown fields, there are none besides those that it names.
func definition(t *testing.T, version string) *jsonschema.Schema {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", operator)
	cmd.Dir, cmd.Stderr = t.TempDir(), os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", operator, err, text)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(text, &module); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(module.Dir, "config", "crds", "bases", "external-secrets.io_externalsecrets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct {
					Open any `json:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := json.Unmarshal(mustJSON(t, content), &crd); err != nil {
		t.Fatal(err)
	}
	for _, v := range crd.Spec.Versions {
		if v.Name != version {
			continue
		}
		top := v.Schema.Open.(map[string]any)
		top["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object"}
		strict(top)
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("crd.json", top); err != nil {
			t.Fatal(err)
		}
		s, err := compiler.Compile("crd.json")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Fatalf("%s has no version %s", operator, version)
	return nil
}

// strict closes the objects of a schema whose fields it names.
func strict(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		fields, named := s["properties"].(map[string]any)
		if _, open := s["additionalProperties"]; named && len(fields) > 0 && !open && s["type"] == "object" {
			s["additionalProperties"] = false
		}
		for _, part := range s {
			strict(part)
		}
	case []any:
		for _, part := range s {
			strict(part)
		}
	}
}

func mustJSON(t *testing.T, content []byte) []byte {
	t.Helper()
	text, err := yaml.YAMLToJSON(content)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// inJSON is a document as a schema takes it.
func inJSON(t *testing.T, content []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(mustJSON(t, content)))
	if err != nil {
		t.Fatal(err)
	}
	return value
}
