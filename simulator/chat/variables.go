package chat

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/zhongkong-go/zhongkong/simulator"
)

// Variable is one of a program's environment.
type Variable struct{ Name, Value string }

// Variables are what a program needs to meet the simulator at base instead of WeChat: the
// values of its account, without those that are empty, and the API's address.
func Variables(a simulator.Account, base string) []Variable {
	list := []Variable{
		{"WECHAT_APPID", a.AppID},
		{"WECHAT_APPSECRET", a.Secret},
		{"WECHAT_TOKEN", a.Token},
		{"WECHAT_AES_KEY", a.AESKey},
		{"WECHAT_API_BASE", base},
	}
	if a.Kind == simulator.WeCom {
		corp, agent, _ := strings.Cut(a.AppID, ":")
		list = []Variable{
			{"WECOM_CORPID", corp},
			{"WECOM_AGENTID", agent},
			{"WECOM_SECRET", a.Secret},
			{"WECOM_TOKEN", a.Token},
			{"WECOM_AES_KEY", a.AESKey},
			{"WECOM_API_BASE", base},
		}
	}
	var all []Variable
	for _, v := range list {
		if v.Value != "" {
			all = append(all, v)
		}
	}
	return all
}

// Export is the line that sets the variable in the usual shell of a system, as
// [runtime.GOOS] names it.
func (v Variable) Export(system string) string {
	if system == "windows" {
		return fmt.Sprintf(`$env:%s = "%s"`, v.Name, v.Value)
	}
	return fmt.Sprintf("export %s=%s", v.Name, v.Value)
}

// Lines set the variables of the account that is looked at, whose own values a program has
// already where they are not made up. Secrets are there only where they were asked for.
func (v *view) Lines() string {
	a := v.Account()
	if !v.all.MadeUp {
		a = simulator.Account{Kind: a.Kind}
	}
	var b strings.Builder
	for _, variable := range Variables(a, v.Base) {
		b.WriteString(variable.Export(runtime.GOOS) + "\n")
	}
	return b.String()
}
