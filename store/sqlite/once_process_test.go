//go:build unix

package sqlite

import (
	"testing"

	"github.com/zhongkong-go/zhongkong/internal/test/bottest"
)

func TestThreeDeliveriesThreeProcesses(t *testing.T) {
	t.Parallel()
	bottest.ThreeDeliveries(t, newPath(t))
}

func TestSoakProcesses(t *testing.T) {
	t.Parallel()
	bottest.Soak(t, newPath(t))
}

func TestKilledInBursts(t *testing.T) {
	t.Parallel()
	bottest.KilledInBursts(t, newPath(t))
}
