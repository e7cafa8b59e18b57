package main

import (
	"context"
	"errors"

	"github.com/zhongkong-go/zhongkong/gateway"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store/open"
)

// migrateCmd brings the tables of a store to the version that this program needs.
// The store's URL may hold a password and is therefore no flag.
type migrateCmd struct {
	Config string `help:"A gateway's configuration, which names the store." placeholder:"FILE" short:"c"`
	Action string `arg:"" enum:"up,down,status" help:"up: to the newest version. down: one step back, which loses what only the newer tables hold. status: only look."`

	jsonFlag `embed:""`
}

// Help is what is below the flags' list.
func (*migrateCmd) Help() string {
	return `The store is the one that --config names, else ZHONGKONG_STORE; sqlite:zhongkong.db without it.
A program migrates its store by itself when it starts, unless it was told not to.

  ZHONGKONG_STORE=postgres://user:password@host/name zhongkong migrate status

The exit code of status is 1 when a migration is missing.`
}

// Run migrates.
func (c *migrateCmd) Run(ctx context.Context, t *terminal) error {
	address := storeOf(t.env)
	if c.Config != "" {
		settings, err := gateway.Parts{}.Read(c.Config)
		if err != nil {
			return usageError{err}
		}
		if settings.Store != "" {
			address = settings.Store
		}
	}
	action := map[string]migrations.Action{"up": migrations.Up, "down": migrations.Down, "status": migrations.Look}[c.Action]
	waiting := waitFor(t, "the store")
	status, err := open.Migrate(ctx, address, action)
	waiting.end()
	if errors.Is(err, open.ErrNoSchema) && c.JSON {
		return stepsJSON(t, migrations.Status{})
	}
	if errors.Is(err, open.ErrNoSchema) {
		t.say("This kind of store has no schema: there is nothing to migrate.")
		return nil
	}
	if err != nil {
		return err
	}
	if c.JSON {
		if err := stepsJSON(t, status); err != nil {
			return err
		}
		if action == migrations.Look && status.Version != status.Newest {
			return errFailed
		}
		return nil
	}
	listSteps(t, status)
	if status.Version == status.Newest {
		t.say("The schema is at version %d, the newest.", status.Version)
		return nil
	}
	t.say("The schema is at version %d of %d: run zhongkong migrate up.", status.Version, status.Newest)
	if action == migrations.Look {
		return errFailed
	}
	return nil
}
