package simtest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/zhongkong-go/zhongkong/internal/test/patience"
	"github.com/zhongkong-go/zhongkong/simulator"
	"github.com/zhongkong-go/zhongkong/simulator/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fetch(wx *simtest.Sim) (string, error) {
	target := wx.URL + simulator.TokenPath + "?grant_type=client_credential&appid=" + wx.AppID() + "&secret=" + wx.Secret()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, target, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := wx.Client().Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func TestNew(t *testing.T) {
	var wx *simtest.Sim
	t.Run("while the test runs", func(t *testing.T) {
		wx = simtest.New(t, simulator.Options{})
		if got, err := fetch(wx); err != nil || !strings.HasPrefix(got, `{"access_token":"`) {
			t.Errorf("%v %s", err, got)
		}
	})
	if _, err := fetch(wx); err == nil {
		t.Error("the server outlived its test")
	}
}

func TestEndsDelays(t *testing.T) {
	failed := make(chan error, 1)
	begun := time.Now()
	t.Run("leaves a caller waiting", func(t *testing.T) {
		wx := simtest.New(t, simulator.Options{})
		wx.Delay(simulator.TokenPath, time.Hour)
		go func() {
			_, err := fetch(wx)
			failed <- err
		}()
		patience.Until(t, "the call", func() bool { return wx.Stats(wx.AppID()).Classic.Calls > 0 })
	})
	if err := <-failed; err == nil {
		t.Error("the caller got an answer")
	}
	if d := time.Since(begun); d > time.Minute {
		t.Errorf("closing took %s", d)
	}
}

func TestInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wx := simtest.InMemory(t, simulator.Options{})
		wx.Delay(simulator.TokenPath, time.Hour)
		begun := time.Now()
		if got, err := fetch(wx); err != nil || !strings.HasPrefix(got, `{"access_token":"`) {
			t.Errorf("%v %s", err, got)
		}
		if d := time.Since(begun); d != time.Hour {
			t.Errorf("it took %s", d)
		}
	})
}
