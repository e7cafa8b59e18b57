package simulator

import (
	"net/http"
	"net/url"
	"slices"
)

// receiver is for whom a push is encrypted: WeCom names its corp, and nobody to a bot
// (智能机器人), whose pushes are JSON.
func (p *sending) receiver() string {
	switch {
	case p.account.Kind != WeCom || p.account.ReceiverID != "":
		return p.account.receiverID()
	case p.Format == JSON:
		return ""
	default:
		return p.account.corpID()
	}
}

// sealCorp encrypts a text as WeCom does, and returns the parcel in which it travels, without
// method and body: under msg_signature alone.
func (p *sending) sealCorp(text string) (encrypt string, out parcel) {
	timestamp, nonce, random := p.stamps()
	receiver, token := p.receiver(), p.account.Token
	switch p.Attack {
	case WrongSignature:
		token = "not" + token
	case ForeignAppID:
		receiver = "ww00000000f0e16000"
	}
	encrypt = p.key.seal(random, text, receiver)
	q := new(query)
	q.add("msg_signature", sign(token, timestamp, nonce, encrypt))
	q.add("timestamp", timestamp)
	q.add("nonce", nonce)
	return encrypt, parcel{target: p.target, query: q.behind(p.target.RawQuery), timestamp: timestamp, nonce: nonce}
}

// composeCorp writes one delivery as WeCom does, in an envelope with the agent.
func (p *sending) composeCorp() parcel {
	encrypt, out := p.sealCorp(p.plain)
	if p.Attack == Tampered {
		encrypt = tamper(encrypt)
	}
	out.method, out.body = http.MethodPost, p.plain
	if p.Attack != PlainText {
		out.body = p.wrapCorp(encrypt)
	}
	return out
}

func (p *sending) wrapCorp(encrypt string) string {
	if p.Format == JSON {
		return `{"encrypt":"` + encrypt + `"}`
	}
	return "<xml><ToUserName><![CDATA[" + p.message.To + "]]></ToUserName><Encrypt><![CDATA[" + encrypt +
		"]]></Encrypt><AgentID><![CDATA[" + p.account.agentID() + "]]></AgentID></xml>"
}

// composeCorpVerification writes the request of a verification, whose echostr WeCom
// encrypts.
func (p *sending) composeCorpVerification(echo string) parcel {
	encrypt, out := p.sealCorp(echo)
	out.method, out.query = http.MethodGet, out.query+"&echostr="+url.QueryEscape(encrypt)
	return out
}

// botNames are the names of a bot's sealed answer, and those of all others.
var botNames = map[string]string{"encrypt": "Encrypt", "msgsignature": "MsgSignature", "timestamp": "TimeStamp", "nonce": "Nonce"}

// renamed gives the fields of a bot's sealed answer the names that all others have.
func (p *sending) renamed(root node) node {
	if p.account.Kind != WeCom || p.Format != JSON || !root.has("encrypt") {
		return root
	}
	root.children = slices.Clone(root.children)
	for i, c := range root.children {
		if name := botNames[c.name]; name != "" {
			root.children[i].name = name
		}
	}
	return root
}
