//go:build unix

package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/internal/gate"
	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/internal/test/tier"
)

// besideVariable makes the test binary a proxy: gateway or floor, and WeChat's address.
const besideVariable = "ZHONGKONG_TEST_BESIDE"

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
		server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: bareProxy(tb, base, &http.Transport{MaxIdleConnsPerHost: 256})}
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
	end    func()
}

func newBeside(tb testing.TB, role, base string, connections int) *beside {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0], "-test.run=^TestPlayBeside$")
	cmd.Env = append(os.Environ(), besideVariable+"="+role+" "+base)
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if inErr != nil || outErr != nil || cmd.Start() != nil {
		tb.Fatal("the process does not start")
	}
	p := &beside{in: in, out: bufio.NewReader(out), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}}
	p.end = func() {
		p.client.CloseIdleConnections()
		_ = cmd.Process.Kill() // it has nothing to put in order
		_ = cmd.Wait()
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.end()
		tb.Fatal(err)
	}
	p.target = strings.TrimSpace(line)
	return p
}

// used is what the process has used of the processors.
func (p *beside) used(tb testing.TB) (spent time.Duration) {
	tb.Helper()
	_, _ = io.WriteString(p.in, "\n")
	if _, err := fmt.Fscanln(p.out, &spent); err != nil {
		tb.Fatal(err)
	}
	return spent
}

// turn makes calls over so many connections, and returns the calls of a second and what
// the process used for one.
func (p *beside) turn(tb testing.TB, connections, each int) (rate, cpu float64) {
	tb.Helper()
	var all sync.WaitGroup
	before, began := p.used(tb), time.Now()
	for range connections {
		all.Go(func() {
			for range each {
				r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, p.target, strings.NewReader(`{"touser":"o"}`))
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
	return calls / time.Since(began).Seconds(), float64(p.used(tb)-before) / calls
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

// TestSpeedBeside holds the gateway to 0.75 of the throughput of a ReverseProxy with a pool of
// buffers, and to 1.45 times its time of the processors; BenchmarkBeside has the figures.
func TestSpeedBeside(t *testing.T) {
	tier.Speed(t)
	weChat := httptest.NewServer(http.HandlerFunc(weChatStub))
	defer weChat.Close()
	for _, connections := range []int{32, 256} {
		var m besideFigures
		patience.Attempts(t, fmt.Sprintf("beside a ReverseProxy, %d connections", connections), func() bool {
			m = measureBeside(t, weChat.URL, connections)
			return m.throughput >= 0.75 && m.cpu <= 1.45
		})
		t.Logf("%d connections: %.2f × the throughput of a bare ReverseProxy (at least 0.75 ×), %.2f × the CPU (at most 1.45 ×)", connections, m.throughput, m.cpu)
		if m.throughput < 0.75 || m.cpu > 1.45 {
			t.Errorf("%d connections: throughput %.2f ×, want at least 0.75 ×; CPU %.2f ×, want at most 1.45 ×", connections, m.throughput, m.cpu)
		}
	}
}

// besideFigures are the gateway's over the floor's, and its calls of a second.
type besideFigures struct{ throughput, cpu, rate float64 }

// measureBeside compares medians of turns.
func measureBeside(tb testing.TB, base string, connections int) besideFigures {
	tb.Helper()
	both := [2]*beside{newBeside(tb, "gateway", base, connections), newBeside(tb, "floor", base, connections)}
	defer both[0].end()
	defer both[1].end()
	var rates, costs [2][]float64
	for range 21 {
		for i, p := range both {
			rate, cost := p.turn(tb, connections, max(1, 2048/connections))
			rates[i], costs[i] = append(rates[i], rate), append(costs[i], cost)
		}
	}
	middle := func(of []float64) float64 {
		slices.Sort(of)
		return of[len(of)/2]
	}
	rate := middle(rates[0])
	return besideFigures{rate / middle(rates[1]), middle(costs[0]) / middle(costs[1]), rate}
}

// BenchmarkBeside measures the gateway next to a ReverseProxy with a pool of buffers, each
// in a process of its own, in front of the same WeChat: how many times its throughput,
// and its time of the processors.
func BenchmarkBeside(b *testing.B) {
	weChat := httptest.NewServer(http.HandlerFunc(weChatStub))
	defer weChat.Close()
	for _, connections := range []int{32, 256} {
		b.Run(fmt.Sprint(connections), func(b *testing.B) {
			var m besideFigures
			for b.Loop() {
				m = measureBeside(b, weChat.URL, connections)
			}
			b.ReportMetric(m.throughput, "x-throughput")
			b.ReportMetric(m.cpu, "x-cpu")
			b.ReportMetric(m.rate, "calls/s")
		})
	}
}
