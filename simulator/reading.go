package simulator

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// readReply reads what an app answered, or says what WeChat cannot read in it.
func (p *sending) readReply(r *Result, body string) (*Reply, error) {
	if rest, found := strings.CutPrefix(body, bom); found {
		r.note("the answer begins with a BOM: leave it out")
		body = rest
	}
	root, format, err := parseAnswer(body)
	if err != nil {
		return nil, err
	}
	if format == JSON && p.Format == XML && (p.message.event() == "" || root.has("MsgType") || root.has("Encrypt")) {
		return nil, errors.New("the answer is JSON, but the account's messages are XML: answer XML, or success")
	}
	if format == XML && p.Format == JSON {
		r.note("the answer is XML to a message in JSON: nobody has seen whether WeChat takes it")
	}
	root = p.renamed(root)
	encrypted := root.has("Encrypt")
	switch {
	case encrypted && p.Mode == Plain:
		return nil, errors.New("the answer is encrypted, but the account is in plain mode")
	case !encrypted && p.Mode == Safe:
		return nil, errors.New("the answer is in plain text, but the account is in safe mode: encrypt the reply; only success and an empty answer stay plain")
	case encrypted:
		if body, err = p.openReply(root); err != nil {
			return nil, err
		}
		if root, _, err = parseAnswer(body); err != nil {
			return nil, fmt.Errorf("inside of the encrypted answer: %w", err)
		}
	case p.Mode == Compatible:
		r.note("the answer is in plain text: nobody has seen whether WeChat takes it in compatible mode; encrypt it")
	}
	if strings.Count(body, "<![CDATA[") > 1 && strings.Contains(body, "]]]]><![CDATA[>") {
		r.note("a ]]> in the text is split over two CDATA sections: nobody has seen whether WeChat reads that")
	}
	reply := &Reply{Raw: body}
	return reply, p.fill(r, reply, root)
}

// openReply checks and decrypts the envelope of a reply.
func (p *sending) openReply(root node) (string, error) {
	encrypt, timestamp, nonce := root.text("Encrypt"), root.text("TimeStamp"), root.text("Nonce")
	for _, name := range []string{"Encrypt", "MsgSignature", "TimeStamp", "Nonce"} {
		if root.text(name) == "" {
			return "", fmt.Errorf("the encrypted answer has no %s", name)
		}
	}
	if _, err := strconv.ParseInt(timestamp, 10, 64); err != nil {
		return "", errors.New("TimeStamp of the encrypted answer is no number of seconds")
	}
	if sign(p.account.Token, timestamp, nonce, encrypt) != root.text("MsgSignature") {
		return "", errors.New("MsgSignature of the answer does not match: it is the SHA-1, in lower-case hexadecimal, of Token, TimeStamp, Nonce and Encrypt of the answer, sorted and joined")
	}
	message, receiver, err := p.key.open(encrypt)
	if err != nil {
		return "", fmt.Errorf("the answer's Encrypt cannot be opened: %w", err)
	}
	if receiver != p.receiver() {
		return "", fmt.Errorf("the answer is encrypted for the appid %q, not %q", receiver, p.receiver())
	}
	if message == "success" || message == "" {
		return "", errors.New("the answer is an encrypted success, which WeChat does not understand: answer success in plain text, in every mode")
	}
	return message, nil
}

// fill reads the fields of a reply.
func (p *sending) fill(r *Result, reply *Reply, root node) error {
	reply.Type, reply.To, reply.From = root.text("MsgType"), root.text("ToUserName"), root.text("FromUserName")
	switch toEvent := p.message.event() != ""; {
	case reply.Type == "" && p.Format == JSON:
		return nil // WeChat's own example answers {"demo_resp":"good luck"}
	case toEvent && (reply.Type == "" && root.name != "xml" || reply.Type == "event"):
		if code := strings.TrimSpace(root.text("ErrCode")); code != "" && code != "0" {
			r.note("the app answered ErrCode %s, by which it asks for the push again", code)
		}
		return nil // payments, games and logistics want {"ErrCode":0,…}, or MsgType event with ResultCode
	}
	created := strings.TrimSpace(root.text("CreateTime"))
	var err error
	if reply.Created, err = strconv.ParseInt(created, 10, 64); err != nil && created != "" {
		r.note("CreateTime of the reply is %q: WeChat documents Unix seconds, though followers see the texts of an SDK that writes a date there", created)
	}
	switch {
	case created == "":
		return errors.New("the reply has no CreateTime")
	case reply.Type == "":
		return errors.New("the reply has no MsgType")
	case reply.To == p.message.To && reply.From == p.message.From:
		return errors.New("ToUserName and FromUserName of the reply are those of the message: swap them")
	case reply.To != p.message.From:
		return fmt.Errorf("ToUserName of the reply is %q: it has to be the follower's openid, %s", reply.To, p.message.From)
	case reply.From != p.message.To:
		return fmt.Errorf("FromUserName of the reply is %q: it has to be the account's original id, %s", reply.From, p.message.To)
	case p.account.Kind == MiniProgram && reply.Type != transfer:
		return fmt.Errorf("a mini program may only reply with %s, not with %s: answer success and call /cgi-bin/message/custom/send", transfer, reply.Type)
	}
	return reply.fillPayload(r, root, p.message.Type == "event")
}

func (reply *Reply) fillPayload(r *Result, root node, toEvent bool) error {
	payload := root
	needs := func(fields map[string]string) error {
		for name, value := range fields {
			if value == "" {
				return fmt.Errorf("the %s reply has no %s", reply.Type, name)
			}
		}
		return nil
	}
	inside := map[string]string{"image": "Image", "voice": "Voice", "video": "Video", "music": "Music"}
	if name := inside[reply.Type]; name != "" {
		var found bool
		if payload, found = root.child(name); !found {
			return fmt.Errorf("the %s reply has no <%s>", reply.Type, name)
		}
	}
	reply.MediaID, reply.Title, reply.Description = payload.text("MediaId"), payload.text("Title"), payload.text("Description")
	switch reply.Type {
	case "text":
		reply.Content = root.text("Content")
		if n := len(reply.Content); n > maxText {
			r.note("Content has %d bytes: users report that more than %d do not arrive", n, maxText)
		}
		return needs(map[string]string{"Content": reply.Content})
	case "image", "voice", "video":
		return needs(map[string]string{"MediaId": reply.MediaID})
	case "music":
		reply.MediaID, reply.URL = payload.text("ThumbMediaId"), payload.text("MusicUrl")
		return needs(map[string]string{"ThumbMediaId": reply.MediaID})
	case "news":
		return reply.fillNews(r, root, toEvent)
	case transfer:
		if info, found := root.child("TransInfo"); found {
			reply.KfAccount = info.text("KfAccount")
		}
		return nil
	default:
		return fmt.Errorf("the reply's MsgType is %q, which no reply can be: text, image, voice, video, music, news and %s can", reply.Type, transfer)
	}
}

func (reply *Reply) fillNews(r *Result, root node, toEvent bool) error {
	articles, _ := root.child("Articles")
	items := articles.children
	if i := slices.IndexFunc(items, func(n node) bool { return n.name != "item" }); i >= 0 {
		return fmt.Errorf("the reply has a %s inside of Articles, where only item can be", items[i].name)
	}
	count, err := strconv.Atoi(strings.TrimSpace(root.text("ArticleCount")))
	switch {
	case err != nil || count != len(items):
		return fmt.Errorf("ArticleCount of the reply is %q, but there are %d articles", root.text("ArticleCount"), len(items))
	case count == 0 || count > maxArticles:
		return fmt.Errorf("the reply has %d articles: 1 to %d can be", count, maxArticles)
	case count > 1 && !toEvent:
		r.note("the reply has %d articles: to a user's message WeChat is believed to show one", count)
	}
	for _, item := range items {
		reply.Articles = append(reply.Articles, Article{item.text("Title"), item.text("Description"), item.text("PicUrl"), item.text("Url")})
	}
	return nil
}
