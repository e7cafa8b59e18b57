module github.com/zhongkong-go/zhongkong/examples/bolt

go 1.26.0

replace github.com/zhongkong-go/zhongkong => ../..

require (
	github.com/zhongkong-go/zhongkong v0.0.0-00010101000000-000000000000
	go.etcd.io/bbolt v1.5.0
)

require (
	golang.org/x/sys v0.50.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)
