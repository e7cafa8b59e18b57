//go:build unix

package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/gate"
)

// besideVariable makes the test binary a proxy: gateway or floor, and WeChat's address.
const besideVariable = "ZHONGKONG_TEST_BESIDE"

// copies are the buffers of the floor.
type copies struct{ sync.Pool }

func (p *copies) Get() []byte  { return p.Pool.Get().(*[32 << 10]byte)[:] }
func (p *copies) Put(b []byte) { p.Pool.Put((*[32 << 10]byte)(b)) }

// playBeside serves until its input ends. For each line of it, it says how much of the
// processors it has used, in nanoseconds.
func playBeside(tb testing.TB, role string) int {
	tb.Helper()
	role, base, _ := strings.Cut(role, " ")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 1
	}
	target := "/cgi-bin/message/custom/send"
	var server *http.Server
	if role == "gateway" {
		g, token, _ := quickGateway(tb, base, nil)
		keeper := gate.New(gate.Config{})
		server, l = keeper.Server(g), keeper.Listen(l)
		target += "?access_token=" + token
	} else {
		to, err := url.Parse(base)
		if err != nil {
			return 1
		}
		server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
			Rewrite:    func(p *httputil.ProxyRequest) { p.SetURL(to) },
			Transport:  &http.Transport{MaxIdleConnsPerHost: 256},
			BufferPool: &copies{sync.Pool{New: func() any { return new([32 << 10]byte) }}},
		}}
	}
	go func() { _ = server.Serve(l) }()
	fmt.Printf("http://%s%s\n", l.Addr(), target)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var used syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
			return 1
		}
		fmt.Println(used.Utime.Nano() + used.Stime.Nano())
	}
	return 0
}

// beside is such a process.
type beside struct {
	target string
	in     io.WriteCloser
	out    *bufio.Reader
	client *http.Client
}

func newBeside(b *testing.B, role, base string, connections int) *beside {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestPlayBeside$")
	cmd.Env = append(os.Environ(), besideVariable+"="+role+" "+base)
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if inErr != nil || outErr != nil || cmd.Start() != nil {
		b.Fatal("the process does not start")
	}
	p := &beside{in: in, out: bufio.NewReader(out), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}}
	b.Cleanup(func() {
		p.client.CloseIdleConnections()
		_ = in.Close()
		_ = cmd.Wait()
	})
	line, err := p.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	p.target = strings.TrimSpace(line)
	return p
}

// used is what the process has used of the processors.
func (p *beside) used(b *testing.B) (spent time.Duration) {
	b.Helper()
	_, _ = io.WriteString(p.in, "\n")
	if _, err := fmt.Fscanln(p.out, &spent); err != nil {
		b.Fatal(err)
	}
	return spent
}

// turn makes calls over so many connections, and returns the calls of a second and what
// the process used for one.
func (p *beside) turn(b *testing.B, connections, each int) (rate, cpu float64) {
	b.Helper()
	var all sync.WaitGroup
	before, began := p.used(b), time.Now()
	for range connections {
		all.Go(func() {
			for range each {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, p.target, strings.NewReader(`{"touser":"o"}`))
				if err != nil {
					panic(err)
				}
				resp, err := p.client.Do(r)
				if err != nil {
					panic(err)
				}
				text, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || string(text) != answered {
					panic(string(text))
				}
			}
		})
	}
	all.Wait()
	calls := float64(connections * each)
	return calls / time.Since(began).Seconds(), float64(p.used(b)-before) / calls
}

// TestPlayBeside is the process of BenchmarkBeside.
func TestPlayBeside(t *testing.T) {
	role := os.Getenv(besideVariable)
	if role == "" {
		t.Skip("is a process of BenchmarkBeside")
	}
	if code := playBeside(t, role); code != 0 {
		t.Fatal(code)
	}
}

// BenchmarkBeside measures the gateway next to a ReverseProxy with a pool of buffers, each
// in a process of its own, in front of the same WeChat: how many times its throughput,
// and its time of the processors, over the medians of turns.
func BenchmarkBeside(b *testing.B) {
	weChat := httptest.NewServer(http.HandlerFunc(weChatStub))
	defer weChat.Close()
	for _, connections := range []int{32, 256} {
		b.Run(fmt.Sprint(connections), func(b *testing.B) {
			both := [2]*beside{newBeside(b, "gateway", weChat.URL, connections), newBeside(b, "floor", weChat.URL, connections)}
			var rates, costs [2][]float64
			for b.Loop() {
				for range 21 {
					for i, p := range both {
						rate, cost := p.turn(b, connections, max(1, 2048/connections))
						rates[i], costs[i] = append(rates[i], rate), append(costs[i], cost)
					}
				}
			}
			middle := func(of []float64) float64 {
				slices.Sort(of)
				return of[len(of)/2]
			}
			b.ReportMetric(middle(rates[0])/middle(rates[1]), "x-throughput")
			b.ReportMetric(middle(costs[0])/middle(costs[1]), "x-cpu")
			b.ReportMetric(middle(rates[0]), "calls/s")
		})
	}
}
