package simulator

import (
	"fmt"
	"slices"
	"strings"
)

// serveTemplateSend carries out POST /cgi-bin/message/template/send.
func serveTemplateSend(c *call) answer {
	var in struct {
		To       string `json:"touser"`
		Template string `json:"template_id"`
	}
	if errcode := c.toFollower(&in, &in.To); errcode != 0 {
		return c.refuse(errcode)
	}
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if !slices.Contains(c.account.conf.Templates, in.Template) {
		return c.refuse(invalidTemplateID)
	}
	return ok(fmt.Sprintf(`{"errcode":0,"errmsg":"ok","msgid":%d}`, c.account.nextMsgID()))
}

// serveTemplates carries out GET /cgi-bin/template/get_all_private_template.
func serveTemplates(c *call) answer {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	var all []string
	for _, id := range c.account.conf.Templates {
		all = append(all, `{"template_id":`+quote(id)+`,"title":"模板","primary_industry":"IT科技","deputy_industry":"互联网|电子商务",`+
			`"content":"{{first.DATA}}\n{{remark.DATA}}","example":""}`)
	}
	return ok(`{"template_list":[` + strings.Join(all, ",") + `]}`)
}

// serveTemplateAdd carries out POST /cgi-bin/template/api_add_template: every number of
// the library has a template.
func serveTemplateAdd(c *call) answer {
	var in struct {
		Short string `json:"template_id_short"`
	}
	switch {
	case !c.decode(&in):
		return c.refuse(dataFormat)
	case in.Short == "":
		return c.refuse(invalidTemplateID)
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.conf.Templates) >= maxTemplates {
		return c.refuse(templateLimit)
	}
	id := letters(a.random, templateIDLength)
	a.conf.Templates = append(a.conf.Templates, id)
	return ok(`{"errcode":0,"errmsg":"ok","template_id":"` + id + `"}`)
}

// serveTemplateDelete carries out POST /cgi-bin/template/del_private_template.
func serveTemplateDelete(c *call) answer {
	var in struct {
		ID string `json:"template_id"`
	}
	if !c.decode(&in) {
		return c.refuse(dataFormat)
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.conf.Templates, in.ID)
	if i < 0 {
		return c.refuse(invalidTemplateID)
	}
	a.conf.Templates = slices.Delete(a.conf.Templates, i, i+1)
	return ok(`{"errcode":0,"errmsg":"ok"}`)
}
