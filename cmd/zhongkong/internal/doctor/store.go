package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/named"
	"github.com/zhongkong-go/zhongkong/internal/storeurl"
	"github.com/zhongkong-go/zhongkong/migrations"
	"github.com/zhongkong-go/zhongkong/store/open"
	"github.com/zhongkong-go/zhongkong/store/sqlite"
)

const (
	storeTime = 6 * time.Second // longer than a store waits for its server
	storeSlow = 500 * time.Millisecond
)

// probeKey is the doctor's own row in a store.
var probeKey = custody.Key{Kind: "doctor", AppID: "probe"}

// Place names a store without the password that its URL may hold.
func Place(address string) string {
	if path, err := storeurl.Path(address); err == nil {
		if abs, err := filepath.Abs(path); err == nil {
			return abs
		}
		return path
	}
	return cmp.Or(storeurl.Place(address), "the store")
}

// storeCauses name what package sqlite tells apart.
var storeCauses = map[sqlite.Reason]string{
	sqlite.Locked: "store_locked", sqlite.NotDatabase: "store_foreign", sqlite.Damaged: "store_damaged",
	sqlite.NoPermission: "store_no_permission",
	sqlite.Full:         "store_full",
}

func (x *examination) lookAtStore(ctx context.Context) []Finding {
	f := Finding{Check: Store, Subject: Place(x.StoreURL), State: Problem}
	if x.StoreURL == "memory:" {
		f.State, f.Found = Skipped, text("memory: is each program's own, and cannot be looked at", "memory: 只存在于各个程序自己的内存中，无法查看")
		return one(f)
	}
	if path, isFile := x.database(); isFile {
		if absent, ok := x.missing(path); ok {
			absent.Check, absent.Subject = Store, f.Subject
			return one(absent)
		}
	}
	looking, cancel := context.WithTimeout(ctx, storeTime)
	status, err := open.Migrate(looking, x.StoreURL, migrations.Look)
	cancel()
	_, isFile := x.database()
	switch {
	case errors.Is(err, open.ErrNoSchema):
	case err != nil && isFile:
		return one(x.storeFailed(f, err, "store_failed"))
	case err != nil: // a server's: Open says whether it is the configuration
	case status.Version > status.Newest:
		f.Cause = "store_newer"
		f.Found = text(
			"%s has the schema of a newer release (%d; this program knows %d)",
			"%s 的表结构来自更新的版本（%d，本程序只支持到 %d）",
			f.Subject,
			status.Version,
			status.Newest,
		)
		f.Do = text("Update this program, and every other one of the store.", "请升级本程序以及使用这个存储的其他程序。")
		return one(f)
	case status.Version == 0:
		f.State, f.Cause = Warning, "store_empty"
		f.Found = text("%s has no tables yet", "%s 里还没有表", f.Subject)
		f.Do = text("Start your program, which makes the tables of %[1]s, or: zhongkong migrate up. If it has run before, it uses another store.",
			"启动程序时会在 %[1]s 中自动建表，也可以执行 zhongkong migrate up。如果程序已经运行过，说明它用的是别的存储。", f.Subject)
		return one(f)
	case status.Version < status.Newest:
		f.Cause = "store_not_migrated"
		f.Found = text("%s has the schema %d, and %d is needed", "%s 的表结构版本是 %d，需要 %d", f.Subject, status.Version, status.Newest)
		f.Do = text("Migrate it: zhongkong migrate up. Programs do so when they start, unless they were told not to.",
			"请执行 zhongkong migrate up。程序启动时也会自动迁移，除非配置为不迁移。")
		return one(f)
	}
	opening, cancel := context.WithTimeout(ctx, storeTime)
	store, err := open.Open(opening, x.StoreURL, open.Options{NoMigrate: true})
	cancel()
	if err != nil {
		return one(x.storeFailed(f, err, "store_misconfigured"))
	}
	found := x.tryStore(ctx, f, store, status)
	if found[0].State == Problem {
		_ = store.Close()
		return found
	}
	x.store = store
	return found
}

// database returns the path of the store where that is a file.
func (x *examination) database() (path string, isFile bool) {
	path, err := storeurl.Path(x.StoreURL)
	if err != nil {
		return "", false
	}
	path, err = filepath.Abs(path)
	return path, err == nil
}

// missing finds that there is no file, before anything makes one.
func (x *examination) missing(path string) (Finding, bool) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return Finding{
			State: Problem, Cause: "store_is_folder",
			Found: text("%s is a folder", "%s 是一个目录", path),
			Do: text(
				"Give %s the path of a file, such as sqlite:%s.",
				"%s 要写文件的路径，例如 sqlite:%s。",
				x.storeSetting(), filepath.Join(path, "zhongkong.db"),
			),
		}, true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Finding{}, false
	}
	folder := filepath.Dir(path)
	if _, err := os.Stat(filepath.Dir(folder)); err != nil { // a folder alone is made at the start
		return Finding{
			State: Problem, Cause: "store_folder_missing",
			Found: text("there is no folder %s for the database", "数据库所在的目录 %s 不存在", folder),
			Do:    text("Make the folder %s, or correct %s.", "请创建目录 %s，或修正 %s。", folder, x.storeSetting()),
		}, true
	}
	return Finding{
		State: Warning, Cause: "store_missing",
		Found: text("there is no database %s yet", "还没有数据库 %s", path),
		Do: text("If your program has run before, it uses another file: run this in its working directory, or with its %[2]s. Otherwise it makes %[1]s when it starts.",
			"如果程序已经运行过，说明它用的是别的文件：请在它的工作目录下运行本命令，或使用与它相同的 %[2]s。否则程序启动时会自动创建 %[1]s。", path, x.storeSetting()),
	}, true
}

// storeFailed says what an error of a store means.
func (x *examination) storeFailed(f Finding, err error, cause string) Finding {
	f.State, f.Cause = Problem, cause
	if _, isFile := x.database(); isFile {
		if named := storeCauses[sqlite.ReasonOf(err)]; named != "" {
			f.Cause = named
		}
	}
	f.Found = x.storeFault(err)
	f.Do = x.storeRemedy(err)
	if _, isFile := x.database(); !isFile && f.Cause == "store_misconfigured" {
		f.Do = text("Correct %s: scheme, user, password, database and parameters of %s.",
			"请修正 %s：协议、用户名、密码、库名和参数（%s）。", x.storeSetting(), f.Subject)
	}
	return f
}

// storeFault says what is the matter with the store.
func (x *examination) storeFault(err error) Text {
	place := Place(x.StoreURL)
	if _, isFile := x.database(); isFile {
		switch sqlite.ReasonOf(err) {
		case sqlite.Locked:
			return text("%s is locked by another program", "%s 被其他程序锁住了", place)
		case sqlite.NotDatabase:
			return text("%s is no SQLite database", "%s 不是 SQLite 数据库", place)
		case sqlite.Damaged:
			return text("%s is damaged", "%s 已损坏", place)
		case sqlite.NoPermission:
			return text("%s, or its folder, may not be read and written by this user", "当前用户没有读写 %s 或其目录的权限", place)
		case sqlite.Full:
			return text("the disk of %s is full", "%s 所在磁盘已满", place)
		default:
		}
	}
	return text("%s cannot be used: %s", "%s 无法使用：%s", place, printable(plainStore(err)))
}

// storeRemedy is what to do about an error of a store.
func (x *examination) storeRemedy(err error) Text {
	if _, isFile := x.database(); !isFile {
		return text("Check %s, and whether its server runs and can be reached from here: %s.", "请检查 %s，以及数据库服务是否在运行、从本机能否访问：%s。", x.storeSetting(), Place(x.StoreURL))
	}
	switch sqlite.ReasonOf(err) {
	case sqlite.Locked:
		return text("Find the program that holds the lock of the database (fuser %[1]s, or lsof), and let it end its transaction.", "请找出锁住数据库的程序（fuser %[1]s 或 lsof），让它结束事务。", Place(x.StoreURL))
	case sqlite.NotDatabase:
		return text("Give %s another path, or move that file away: it is no SQLite database.", "请修改 %s 的路径，或把这个文件移走：它不是 SQLite 数据库。", x.storeSetting())
	case sqlite.Damaged:
		return text("Start your program: it sets the damaged file aside and makes a new one. What is lost is a token, which is fetched anew.",
			"请启动程序：它会把损坏的文件改名保留，并新建一个。丢失的只是 token，会重新获取。")
	case sqlite.NoPermission:
		return text("Run this as the user of your program, or give user %d the right to read and write the file and its folder.", "请用程序的运行用户执行本命令，或让 uid %d 对该文件及其目录有读写权限。", os.Getuid())
	case sqlite.Full:
		return text("Make room on the disk of %s.", "%s 所在磁盘已满，请清理空间。", Place(x.StoreURL))
	default:
		return text("Look at the file, its folder and its disk: %s.", "请检查该文件、所在目录和磁盘：%s。", Place(x.StoreURL))
	}
}

// plainStore is the text of a store's error without its prefix.
func plainStore(err error) string {
	return named.Plain(err).Error()
}

// tryStore takes a lease on a row of the doctor's own and gives it back: a write
// and the store's time.
func (x *examination) tryStore(ctx context.Context, f Finding, store custody.Store, status migrations.Status) []Finding {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	sent := time.Now()
	lease, err := store.Acquire(ctx, probeKey, rand.Text(), time.Second)
	took := time.Since(sent)
	if _, ok := errors.AsType[*custody.HeldError](err); ok { // by another doctor, and so it was written
		f.State, f.Found = OK, text("%s: in use by another doctor just now", "%s：另一个 doctor 正在检查", f.Subject)
		return one(f)
	}
	if err == nil {
		err = store.Release(ctx, lease, nil)
	}
	if err != nil {
		cause := "store_unreachable"
		if _, isFile := x.database(); isFile {
			cause = "store_failed"
		}
		return one(x.storeFailed(f, err, cause))
	}
	f.State = OK
	version := Text{}
	if status.Newest > 0 {
		version = text(", schema %d", "，表结构版本 %d", status.Version)
	}
	f.Found = text("%s: can be written in %s", "%s：可写，%s", f.Subject, short(took))
	f.Found = Text{EN: f.Found.EN + version.EN, ZH: f.Found.ZH + version.ZH}
	if took > storeSlow {
		f.State, f.Cause = Warning, "store_slow"
		f.Found = text("%s: writing takes %s", "%s：写入需要 %s", f.Subject, short(took))
		f.Do = text("Look at the disk, or the network to the store's server: a store call that takes over a second counts as none.", "请检查磁盘，或到存储服务器的网络：超过一秒的调用视为无应答。")
	}
	found := one(f)
	if off := lease.Record.Now.Sub(sent); off > clockNotice+took || off < -clockNotice {
		found = append(found, Finding{
			Check: Store, Subject: f.Subject, State: Warning, Cause: "store_clock_off",
			Found: text("its clock and this machine's differ by %s", "存储服务器与本机的时钟相差 %s", short(off.Abs())),
			Do:    text("Keep the clocks of all machines right with NTP. Leases are counted in the store's time, so tokens are safe; pushes and logs are not.", "请用 NTP 校准所有机器的时钟。租约以存储的时间为准，token 不受影响；推送校验和日志会受影响。"),
		})
	}
	if sealing, ok := x.sealing(); ok {
		found = append(found, sealing)
	}
	return found
}

// sealing reports tokens in the clear where others can read them.
func (x *examination) sealing() (Finding, bool) {
	_, isFile := x.database()
	if len(x.SealKeys) > 0 || isFile {
		return Finding{}, false // a file is its owner's alone, which check Files looks at
	}
	return Finding{
		Check: Store, Subject: Place(x.StoreURL), State: Warning, Cause: "not_sealed",
		Found: text("tokens lie in it in the clear: ZHONGKONG_SEAL_KEY is not set", "token 以明文存放：没有设置 ZHONGKONG_SEAL_KEY"),
		Do: text("Set ZHONGKONG_SEAL_KEY in every program of the store; make one with: openssl rand -base64 32. Live tokens stay in use.",
			"请在使用该存储的所有程序中设置同一个 ZHONGKONG_SEAL_KEY（生成：openssl rand -base64 32）。现有 token 不受影响。"),
	}, true
}

// modeOf returns the permission bits of a file that others may use, and whether
// there are any.
func modeOf(path string) (string, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return "", false
	}
	return fmt.Sprintf("%04o", info.Mode().Perm()), true
}
