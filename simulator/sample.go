package simulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sample is a message with made-up contents, for programs that pick one by its name:
// the command line, the admin API, a test that wants to see them all.
type Sample struct {
	Name    string // MsgType, or the Event as it is written on the wire
	About   string // what it is
	Field   string // the field that is of most interest; "" where there is none
	Message Message
}

// sampleOf returns the sample of that name. Where none is written so, upper and
// lower case do not matter: "location" is the message, "LOCATION" the event,
// "click" is CLICK. "event" and "raw", which [Compose] makes from what it is given, are empty.
func sampleOf(name string) (Sample, bool) {
	if name == "event" || name == "raw" {
		return Sample{Name: name}, true
	}
	all := Samples()
	i := slices.IndexFunc(all, func(s Sample) bool { return s.Name == name })
	if i < 0 {
		i = slices.IndexFunc(all, func(s Sample) bool { return strings.EqualFold(s.Name, name) })
	}
	if i < 0 {
		return Sample{}, false
	}
	return all[i], true
}

// Compose makes a message from words: the sample of that name with value in its field
// of most interest ("" leaves it), and other fields as set says. MsgId and CreateTime
// (Unix seconds) can be set too. The error lists what there is.
//
// The name "event" makes any event, value, with the fields of set, numbers bare; "raw"
// makes value the whole message as it is.
func Compose(name, value string, set map[string]string) (Message, error) {
	switch name {
	case "event":
		return composeEvent(value, set)
	case "raw":
		if value == "" || len(set) > 0 {
			return Message{}, errors.New("raw needs the message as it is, and takes no other field")
		}
		return Message{Raw: value}, nil
	}
	sample, found := sampleOf(name)
	if !found {
		names := make([]string, 0, 64)
		for _, s := range Samples() {
			names = append(names, s.Name)
		}
		return Message{}, fmt.Errorf("there is no message %q; there are: %s", name, strings.Join(names, ", "))
	}
	m := sample.Message
	if value != "" {
		if sample.Field == "" {
			return Message{}, fmt.Errorf("%s takes no value", sample.Name)
		}
		if sample.Name == "qrscene" {
			value = "qrscene_" + value
		}
		m = m.With(sample.Field, value)
	}
	for _, field := range slices.Sorted(maps.Keys(set)) {
		if err := m.set(field, set[field]); err != nil {
			return Message{}, fmt.Errorf("%s: %w", sample.Name, err)
		}
	}
	return m, m.check()
}

// composeEvent makes an event that has no sample.
func composeEvent(name string, set map[string]string) (Message, error) {
	if name == "" {
		return Message{}, errors.New("event needs the name of one, such as user_get_card")
	}
	m := Notice(name)
	for _, field := range slices.Sorted(maps.Keys(set)) {
		value := set[field]
		switch {
		case field == "CreateTime":
			if err := m.set(field, value); err != nil {
				return Message{}, err
			}
		case isNumber(value):
			m = m.With(field, Number(value))
		default:
			m = m.With(field, value)
		}
	}
	return m, m.check()
}

// isNumber reports whether WeChat would write a value bare.
func isNumber(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == s
}

// set gives a field that is there another value of its kind.
func (m *Message) set(name, value string) error {
	if name == "MsgId" || name == "CreateTime" {
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil || n <= 0:
			return fmt.Errorf("%s is %q: it has to be a number", name, value)
		case name == "MsgId":
			m.ID = n
		default:
			m.Created = time.Unix(n, 0)
		}
		return nil
	}
	var names []string
	for _, f := range m.Fields {
		switch f.Value.(type) {
		case nil, []Field:
		case string:
			names = append(names, f.Name)
			if f.Name == name {
				*m = m.With(name, value)
				return nil
			}
		default:
			names = append(names, f.Name)
			if f.Name == name {
				*m = m.With(name, Number(value))
				return nil
			}
		}
	}
	return fmt.Errorf("there is no field %q to set; there are: %s, MsgId, CreateTime", name, strings.Join(names, ", "))
}

// Samples returns one of each message and event: every one of WeChat's that is
// known here, messages first.
func Samples() []Sample {
	const (
		picture = "http://mmbiz.qpic.cn/mmbiz_jpg/made-up/0"
		media   = "made-up-media-id"
		ticket  = "gQH47joAAAAAAAAAASxodHRwOi8vd2VpeGluLnFxLmNvbS9xL21hZGUtdXA"
		sum     = "5a75aaca956d97be686719218f275c6b"
		menu    = "428654020"
		tmpl    = "VRR0UEO9VJOLs0MHlU0OilqX6MVFDwH3_3gz3Oc0NIc"
		agent   = "test1@test"
		address = "http://mp.weixin.qq.com/s/made-up"
		when    = 1767225600
	)
	choice := subscription{TemplateID: tmpl, Status: "accept", Scene: 2}
	other := subscription{TemplateID: "9nLIlbOQZC5Y89AZteFEux3WCXRRRG5Wfzkpssu4bLI", Status: "reject", Scene: 2}
	return []Sample{
		{"text", "a text", "Content", Text("你好")},
		{"menuanswer", "a choice from a menu message", "Content", menuAnswer("满意", "101")},
		{"image", "a picture", "PicUrl", Image(picture, media)},
		{"voice", "a voice message", "Recognition", Voice(media, "")},
		{"video", "a video", "MediaId", videoMessage(media, media)},
		{"shortvideo", "a short video", "MediaId", shortVideo(media, media)},
		{"location", "a place", "Label", Location(31.237238, 121.666672, 16, "浦东新区上丰路1270号")},
		{"link", "a link", "Url", linkMessage("标题", "描述", address)},
		{"file", "a file (not documented by WeChat)", "Title", fileMessage("报告.pdf", "", "made-up-key", sum, 20480)},
		{
			"miniprogrampage",
			"a mini program's page, to its customer service",
			"PagePath",
			miniProgramPage("标题", "wx0123456789abcdef", "pages/index/index", picture, media),
		},

		{"subscribe", "somebody follows", "", Subscribe()},
		{"qrscene", "somebody follows by a parametric QR code (subscribe)", "EventKey", subscribeByScene("123", ticket)},
		{"unsubscribe", "somebody unfollows", "", Unsubscribe()},
		{"SCAN", "a follower scans a parametric QR code", "EventKey", Scan("123", ticket)},
		{"LOCATION", "where a follower is", "", locationReport(23.137466, 113.352425, 119.385040)},
		{"CLICK", "a click on a menu's button", "EventKey", Click("V1001_TODAY")},
		{"VIEW", "a click on a menu's link", "EventKey", View("http://example.com/", menu)},
		{"view_miniprogram", "a click on a menu's mini program", "EventKey", viewMiniProgram("pages/index/index", menu)},
		{"scancode_push", "a scan by a menu's button", "EventKey", scanCodePush("K1", "qrcode", "http://example.com/?a=1&b=<2>")},
		{"scancode_waitmsg", "the same, waiting for an answer", "EventKey", scanCodeWait("K1", "qrcode", "1")},
		{"pic_sysphoto", "pictures taken by a menu's button", "EventKey", picSysPhoto("K1", sum)},
		{"pic_photo_or_album", "pictures taken or chosen", "EventKey", picPhotoOrAlbum("K1", sum, sum)},
		{"pic_weixin", "pictures chosen in the album", "EventKey", picWeixin("K1", sum)},
		{"location_select", "a place chosen by a menu's button", "EventKey", locationSelect("K1", 23.0, 113.0, "15", "广州市海珠区客村艺苑路106号", "")},
		{"TEMPLATESENDJOBFINISH", "what became of a template message", "Status", templateSendJobFinish(200163836, "success")},
		{
			"MASSSENDJOBFINISH",
			"what became of a mass message",
			"Status",
			massSendJobFinish(1000001625, "err(30003)", 0, 0, 0, 0).withArticles(address, address),
		},
		{"subscribe_msg_popup_event", "a choice about subscription messages", "", subscribeMsgPopup(choice, other)},
		{"subscribe_msg_change_event", "a changed choice", "", subscribeMsgChange(choice)},
		{"subscribe_msg_sent_event", "what became of a subscription message", "", subscribeMsgSent(tmpl, 1864323726461255680, 0, "success")},
		{
			"PUBLISHJOBFINISH",
			"what became of a publication",
			"",
			publishJobFinish("2247503051", 0, "b5O2OUs25HBxRceL7hfReg-U9QGeq9zQjiDvy", address),
		},
		{"kf_create_session", "a customer service session begins", "KfAccount", kfCreateSession(agent)},
		{"kf_close_session", "it ends", "KfAccount", kfCloseSession(agent)},
		{"kf_switch_session", "another agent takes over", "ToKfAccount", kfSwitchSession(agent, "test2@test")},
		{"user_enter_tempsession", "somebody opens a mini program's customer service", "SessionFrom", userEnterTempSession("made-up")},
		{"weapp_audit_success", "a mini program passed the review", "", weappAuditSuccess(when)},
		{"weapp_audit_fail", "it did not pass", "Reason", weappAuditFail(when, "1:账号信息不符合规范:", media)},
		{"weapp_audit_delay", "the review takes longer", "Reason", weappAuditDelay(when, "审核处理中")},
		{
			"wxa_media_check",
			"the result of a content check",
			"trace_id",
			wxaMediaCheck("wx0123456789abcdef", "60ae120f-371d5872-7941a05b", "risky", 20001),
		},
		{"qualification_verify_success", "the qualification was verified", "", qualificationVerifySuccess(when)},
		{"qualification_verify_fail", "the qualification was not verified", "FailReason", qualificationVerifyFail(when, "by time")},
		{"naming_verify_success", "the name was verified", "", namingVerifySuccess(when)},
		{"naming_verify_fail", "the name was not verified", "FailReason", namingVerifyFail(when, "by time")},
		{"annual_renew", "the yearly verification is due", "", annualRenew(when)},
		{"verify_expired", "the verification has expired", "", verifyExpired(when)},
	}
}
