// Package gate stands at the listener of everything of ours that strangers can reach.
// Before a peer has proven itself it costs a bounded amount of memory, descriptors and
// time, over all such peers together, whatever it says about itself.
//
//	g := gate.New(gate.Config{Log: log})
//	server := g.Server(handler)
//	server.Serve(g.Listen(listener))
//
// A connection is a stranger's until a request on it was proven: until then it has 30 s
// to bring its requests, TLS handshakes and the frames of HTTP/2 included, and all
// strangers share a [Room]. A handler calls [Visit.Enter] before it reads a body and
// [Visit.Prove] once it knows whose request it is; from then on a body may take as long
// as needed, provided that it keeps arriving. What comes on a connection that was
// proven before, such as a reverse proxy's, has to be proven again, request by request.
package gate
