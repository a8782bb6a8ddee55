// crdserver serves CustomResourceDefinitions and custom resources as a current Kubernetes does, and nothing else: no built-in kinds, any
// namespace is taken. etcd runs inside it. It is a server to compare with, not one to use: its etcd does not wait for the disk.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"

	"go.etcd.io/etcd/server/v3/embed"
	noop "go.opentelemetry.io/otel/trace/noop"
	"k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/cmd/server/options"
	definitions "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/bearertoken"
	"k8s.io/apiserver/pkg/authentication/request/union"
	"k8s.io/apiserver/pkg/authentication/token/tokenfile"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	authorizers "k8s.io/apiserver/pkg/authorization/union"
	namer "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/kubernetes/scheme"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "crdserver:", err)
		os.Exit(1)
	}
}

// loopback is a URL with a port that is free now.
func loopback() url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	port := l.Addr().(*net.TCPAddr).Port
	check(l.Close())
	return url.URL{Scheme: "http", Host: "127.0.0.1:" + strconv.Itoa(port)}
}

// startEtcd runs an etcd in this process and returns its address.
func startEtcd(dir string) string {
	clients, peers := loopback(), loopback()
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.UnsafeNoFsync = dir, "error", true
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{clients}, []url.URL{clients}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{peers}, []url.URL{peers}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	e, err := embed.StartEtcd(c)
	check(err)
	<-e.Server.ReadyNotify()
	return clients.String()
}

// secure lets the users of a token file in; those in system:masters may do everything, others see only health and version.
func secure(c *server.RecommendedConfig, tokens string) {
	users, err := tokenfile.NewCSV(tokens)
	check(err)
	open, err := path.NewAuthorizer([]string{"/healthz", "/readyz", "/livez", "/version"})
	check(err)
	c.Authentication.Authenticator = union.NewFailOnError(group.NewAuthenticatedGroupAdder(bearertoken.New(users)), anonymous.NewAuthenticator(nil))
	c.Authorization.Authorizer = authorizers.New(authorizerfactory.NewPrivilegedGroups("system:masters"), open)
}

// describe makes the documents of OpenAPI; without them nothing is published of custom resources either.
func describe(c *server.RecommendedConfig) {
	all := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(definitions.GetOpenAPIDefinitions)
	names := namer.NewDefinitionNamer(apiserver.Scheme, scheme.Scheme)
	c.OpenAPIConfig = server.DefaultOpenAPIConfig(all, names)
	c.OpenAPIV3Config = server.DefaultOpenAPIV3Config(all, names)
}

func main() {
	port := flag.Int("port", 0, "HTTPS port on 127.0.0.1")
	data := flag.String("data", "", "directory of etcd")
	certs := flag.String("cert-dir", "", "directory of the certificate that it makes for itself")
	tokens := flag.String("tokens", "", `CSV file: token,user,uid,"group,..."`)
	flag.Parse()

	o := options.NewCustomResourceDefinitionsServerOptions(os.Stdout, os.Stderr)
	r := o.RecommendedOptions
	r.CoreAPI, r.Authentication, r.Authorization, r.Admission = nil, nil, nil, nil // they would want a kube-apiserver behind
	r.Features.EnablePriorityAndFairness = false
	r.Etcd.StorageConfig.Transport.ServerList = []string{startEtcd(*data)}
	r.SecureServing.BindAddress, r.SecureServing.BindPort = net.IPv4(127, 0, 0, 1), *port
	r.SecureServing.ServerCert.CertDirectory = *certs
	check(o.ServerRunOptions.ComponentGlobalsRegistry.Set())
	check(o.Complete())
	check(r.SecureServing.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}))

	c := server.NewRecommendedConfig(apiserver.Codecs)
	check(o.ServerRunOptions.ApplyTo(&c.Config))
	check(r.ApplyTo(c))
	check(o.APIEnablement.ApplyTo(&c.Config, apiserver.DefaultAPIResourceConfigSource(), apiserver.Scheme))
	secure(c, *tokens)
	describe(c)

	config := apiserver.Config{GenericConfig: c, ExtraConfig: apiserver.ExtraConfig{
		CRDRESTOptionsGetter: options.NewCRDRESTOptionsGetter(*r.Etcd, c.ResourceTransformers, c.StorageObjectCountTracker),
		ServiceResolver:      webhook.NewDefaultServiceResolver(),
		AuthResolverWrapper:  webhook.NewDefaultAuthenticationInfoResolverWrapper(nil, nil, c.LoopbackClientConfig, noop.NewTracerProvider()),
	}}
	complete := config.Complete()
	s, err := complete.New(server.NewEmptyDelegate())
	check(err)
	s.GenericAPIServer.Handler.NonGoRestfulMux.Handle("/apis", s.GenericAPIServer.AggregatedDiscoveryGroupManager)
	check(s.GenericAPIServer.PrepareRun().RunWithContext(server.SetupSignalContext()))
}
