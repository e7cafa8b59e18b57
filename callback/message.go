package callback

import (
	"slices"
	"strings"
	"time"
)

// Type is the MsgType of a message.
type Type string

// The types of messages that followers send, and of events. Others reach the
// handlers as well, under the name that WeChat gives them.
const (
	TypeText            Type = "text"
	TypeImage           Type = "image"
	TypeVoice           Type = "voice"
	TypeVideo           Type = "video"
	TypeShortVideo      Type = "shortvideo"
	TypeLocation        Type = "location"
	TypeLink            Type = "link"
	TypeFile            Type = "file"
	TypeMiniProgramPage Type = "miniprogrampage"
	TypeEvent           Type = "event"
)

// Event is the Event of a message of [TypeEvent], in WeChat's own mixture of
// cases. Routes compare events without regard to case: WeChat documents the name of
// one as "not case-sensitive".
type Event string

func (e Event) is(other Event) bool { return strings.EqualFold(string(e), string(other)) }

// The events. Others reach the handlers as well.
//
//nolint:gosec // G101 takes a name with "pass" in it for a password
const (
	Subscribe       Event = "subscribe"
	Unsubscribe     Event = "unsubscribe"
	Scan            Event = "SCAN"     // of a parametric QR code, by a follower
	Location        Event = "LOCATION" // sent when the chat is opened; not [TypeLocation]
	Click           Event = "CLICK"
	View            Event = "VIEW"
	ViewMiniProgram Event = "view_miniprogram"

	ScanCodePush    Event = "scancode_push"
	ScanCodeWaitMsg Event = "scancode_waitmsg"
	PicSysPhoto     Event = "pic_sysphoto"
	PicPhotoOrAlbum Event = "pic_photo_or_album"
	PicWeixin       Event = "pic_weixin"
	LocationSelect  Event = "location_select"

	TemplateSent       Event = "TEMPLATESENDJOBFINISH"
	MassSent           Event = "MASSSENDJOBFINISH"
	Published          Event = "PUBLISHJOBFINISH"
	SubscribeMsgPopup  Event = "subscribe_msg_popup_event"
	SubscribeMsgChange Event = "subscribe_msg_change_event"
	SubscribeMsgSent   Event = "subscribe_msg_sent_event"

	ServiceBegun    Event = "kf_create_session"
	ServiceEnded    Event = "kf_close_session"
	ServiceSwitched Event = "kf_switch_session"
	TempSession     Event = "user_enter_tempsession"

	MediaChecked          Event = "wxa_media_check"
	AuditPassed           Event = "weapp_audit_success"
	AuditFailed           Event = "weapp_audit_fail"
	AuditDelayed          Event = "weapp_audit_delay"
	QualificationVerified Event = "qualification_verify_success"
	QualificationFailed   Event = "qualification_verify_fail"
	NamingVerified        Event = "naming_verify_success"
	NamingFailed          Event = "naming_verify_fail"
	AnnualRenewal         Event = "annual_renew"
	VerificationExpired   Event = "verify_expired"
)

// Message is a message or an event, whether it came as XML or as JSON. Which
// fields are set depends on Type and Event; what has none here, because it is new
// or rare, is in Fields. A value that is not a number is 0 here and in Fields as it
// was sent. The fields of events are set for events only, so that nothing a
// follower writes into a text looks like one.
type Message struct {
	ToUserName   string // the account: gh_ and twelve digits
	FromUserName string // the follower's openid
	CreateTime   time.Time
	Type         Type
	ID           int64  // MsgId; 0 for events
	AgentID      string // of the app, in WeCom
	DataID       string // MsgDataId; this and Idx with messages from an article
	Idx          int

	Content      string  // text
	BizMsgMenuID string  // text: bizmsgmenuid, the answer to a menu message
	PicURL       string  // image
	MediaID      string  // image, voice, video, shortvideo
	MediaID16K   string  // voice
	Format       string  // voice: amr
	Recognition  string  // voice, with speech recognition switched on
	ThumbMediaID string  // video, shortvideo, miniprogrampage
	LocationX    float64 // location: the latitude
	LocationY    float64 // location: the longitude
	Scale        int     // location
	Label        string  // location
	Title        string  // link, file, miniprogrampage
	Description  string  // link, file
	URL          string  // link
	FileKey      string  // file
	FileMD5      string  // file
	FileTotalLen int64   // file; bytes
	AppID        string  // miniprogrampage; wxa_media_check
	PagePath     string  // miniprogrampage
	ThumbURL     string  // miniprogrampage

	Event            Event
	EventKey         string  // of the menu or QR code; after subscribe with the prefix qrscene_, see Scene
	Ticket           string  // subscribe and SCAN, of the QR code
	Latitude         float64 // LOCATION; this and the next two
	Longitude        float64
	Precision        float64           // metres
	MenuID           string            // VIEW, view_miniprogram
	ScanCodeInfo     *ScanCodeInfo     // scancode_push, scancode_waitmsg
	SendPicsInfo     *SendPicsInfo     // pic_sysphoto, pic_photo_or_album, pic_weixin
	SendLocationInfo *SendLocationInfo // location_select
	JobID            int64             // MsgID, with a capital D, of what was sent: TEMPLATESENDJOBFINISH, MASSSENDJOBFINISH
	Status           string            // "success" or "send success", or what failed
	Mass             *MassResult       // MASSSENDJOBFINISH
	SubscribeMsgs    []SubscribeMsg    // subscribe_msg_*_event
	Publication      *Publication      // PUBLISHJOBFINISH
	KfAccount        string            // kf_create_session, kf_close_session
	FromKfAccount    string            // kf_switch_session
	ToKfAccount      string            // kf_switch_session
	SessionFrom      string            // user_enter_tempsession
	TraceID          string            // wxa_media_check; its result is in Fields
	SuccTime         time.Time         // weapp_audit_success
	FailTime         time.Time         // weapp_audit_fail, …_verify_fail
	DelayTime        time.Time         // weapp_audit_delay
	ExpiredTime      time.Time         // …_verify_success, annual_renew, verify_expired
	Reason           string            // weapp_audit_fail, weapp_audit_delay
	FailReason       string            // …_verify_fail
	ScreenShot       string            // weapp_audit_fail

	// Fields is everything that was sent.
	Fields Fields

	// JSON reports that the message came as JSON, so that its answer does too.
	JSON bool

	text string // as it was sent, byte for byte
}

// ScanCodeInfo is what a menu's scanner found.
type ScanCodeInfo struct {
	ScanType   string // qrcode, barcode, …
	ScanResult string
}

// SendPicsInfo announces pictures that come as messages of their own.
type SendPicsInfo struct {
	Count      int
	PicMD5Sums []string
}

// SendLocationInfo is the place that a follower chose.
type SendLocationInfo struct {
	LocationX float64 // latitude
	LocationY float64 // longitude
	Scale     int
	Label     string
	PoiName   string
}

// MassResult is what became of a mass message.
type MassResult struct {
	TotalCount  int
	FilterCount int
	SentCount   int
	ErrorCount  int

	CheckState      int // of the check for originality
	CopyrightChecks []CopyrightCheck
	ArticleURLs     []ArticleURL
}

// CopyrightCheck is the check of one article for originality.
type CopyrightCheck struct {
	ArticleIdx            int // from 1 on
	UserDeclareState      int
	AuditState            int
	OriginalArticleURL    string
	OriginalArticleType   int
	CanReprint            int
	NeedReplaceContent    int
	NeedShowReprintSource int
}

// ArticleURL is where one of several articles stands.
type ArticleURL struct {
	Idx int // from 1 on
	URL string
}

// SubscribeMsg is what became of one template of a subscription message.
type SubscribeMsg struct {
	TemplateID  string
	Status      string // SubscribeStatusString: accept or reject
	PopupScene  string
	JobID       int64 // MsgID, after sending; this and the next two
	ErrorCode   int
	ErrorStatus string
}

// Publication is what became of a publication.
type Publication struct {
	ID        string
	Status    int
	ArticleID string
	Articles  []ArticleURL
	FailIdx   []int // of the articles that were not taken
}

// ParseMessage reads a message as [Verifier.Open] returns it. Its error is an
// [*Error] with [ReasonMessage]. A message may have any type, or none.
func ParseMessage(message []byte) (*Message, error) { return parseMessage(string(message)) }

func parseMessage(message string) (*Message, error) {
	fields, isJSON, wrong := parse(message)
	if wrong != "" {
		return nil, refuse(ReasonMessage, "the message cannot be read ("+wrong+")")
	}
	m := &Message{Fields: fields, JSON: isJSON, Type: Type(fields.Get("MsgType")), text: message}
	if isJSON && m.Type == "" {
		m.setBot(fields)
	}
	for i := range slices.Backward(fields) { // so that the first of several counts, as in Fields.Get
		m.set(&fields[i])
	}
	if m.SubscribeMsgs == nil && strings.HasPrefix(string(m.Event), "subscribe_msg_") {
		m.SubscribeMsgs = subscribeMsgs(fields.All("List")) // without the element around it
	}
	return m, nil
}

// setBot reads what a bot of WeCom's (智能机器人) gets, which has names of its own. An event's
// name is in event.eventtype.
func (m *Message) setBot(f Fields) {
	m.Type = Type(f.Get("msgtype"))
	for i := range f {
		inside := f[i].Fields
		switch f[i].Name {
		case "from":
			m.FromUserName = inside.Get("userid")
		case "aibotid":
			m.ToUserName = f[i].Value
		case "text":
			m.Content = inside.Get("content")
		case "event":
			if m.Type == TypeEvent {
				m.Event = Event(inside.Get("eventtype"))
			}
		}
	}
}

// Scene returns the scene of the parametric QR code through which somebody came,
// as a new follower or as an old one.
func (m *Message) Scene() string {
	switch {
	case m.Event.is(Subscribe):
		scene, _ := strings.CutPrefix(m.EventKey, "qrscene_")
		return scene
	case m.Event.is(Scan):
		return m.EventKey
	default:
		return ""
	}
}

// set gives a field of the message its place.
//
//nolint:gocyclo // a flat table of names; a map of functions would cost each message an allocation or a call per field
func (m *Message) set(f *Field) {
	switch v := f.Value; f.Name {
	case "ToUserName":
		m.ToUserName = v
	case "FromUserName":
		m.FromUserName = v
	case "CreateTime":
		m.CreateTime = seconds(v)
	case "MsgType": // parseMessage has set it: what the others mean depends on it
	case "MsgId":
		m.ID = integer(v)
	case "AgentID":
		m.AgentID = v
	case "MsgDataId":
		m.DataID = v
	case "Idx":
		m.Idx = int(integer(v))
	case "Content":
		m.Content = v
	case "bizmsgmenuid":
		m.BizMsgMenuID = v
	case "PicUrl":
		m.PicURL = v
	case "MediaId":
		m.MediaID = v
	case "MediaId16K":
		m.MediaID16K = v
	case "Format":
		m.Format = v
	case "Recognition":
		m.Recognition = v
	case "ThumbMediaId":
		m.ThumbMediaID = v
	case "Location_X":
		m.LocationX = decimal(v)
	case "Location_Y":
		m.LocationY = decimal(v)
	case "Scale":
		m.Scale = int(integer(v))
	case "Label":
		m.Label = v
	case "Title":
		m.Title = v
	case "Description":
		m.Description = v
	case "Url":
		m.URL = v
	case "FileKey":
		m.FileKey = v
	case "FileMd5":
		m.FileMD5 = v
	case "FileTotalLen":
		m.FileTotalLen = integer(v)
	case "AppId", "appid":
		m.AppID = v
	case "PagePath":
		m.PagePath = v
	case "ThumbUrl":
		m.ThumbURL = v
	default:
		if m.Type == TypeEvent || m.Type == "" {
			m.setEvent(f)
		}
	}
}

//nolint:gocyclo // as set
func (m *Message) setEvent(f *Field) {
	switch v := f.Value; f.Name {
	case "Event":
		m.Event = Event(v)
	case "EventKey":
		m.EventKey = v
	case "Ticket":
		m.Ticket = v
	case "Latitude":
		m.Latitude = decimal(v)
	case "Longitude":
		m.Longitude = decimal(v)
	case "Precision":
		m.Precision = decimal(v)
	case "MenuId", "MenuID":
		m.MenuID = v
	case "ScanCodeInfo":
		m.ScanCodeInfo = &ScanCodeInfo{ScanType: f.Fields.Get("ScanType"), ScanResult: f.Fields.Get("ScanResult")}
	case "SendPicsInfo":
		m.SendPicsInfo = &SendPicsInfo{Count: f.Fields.integer("Count")}
		for _, item := range items(f.Fields, "PicList") {
			m.SendPicsInfo.PicMD5Sums = append(m.SendPicsInfo.PicMD5Sums, item.Fields.Get("PicMd5Sum"))
		}
	case "SendLocationInfo":
		m.SendLocationInfo = &SendLocationInfo{
			LocationX: decimal(f.Fields.Get("Location_X")), LocationY: decimal(f.Fields.Get("Location_Y")),
			Scale: f.Fields.integer("Scale"), Label: f.Fields.Get("Label"), PoiName: f.Fields.Get("Poiname"),
		}
	case "MsgID":
		m.JobID = integer(v)
	case "Status":
		m.Status = v
	case "TotalCount":
		m.mass().TotalCount = int(integer(v))
	case "FilterCount":
		m.mass().FilterCount = int(integer(v))
	case "SentCount":
		m.mass().SentCount = int(integer(v))
	case "ErrorCount":
		m.mass().ErrorCount = int(integer(v))
	case "CopyrightCheckResult":
		m.mass().setCopyright(f.Fields)
	case "ArticleUrlResult":
		m.mass().setArticles(f.Fields)
	case "SubscribeMsgPopupEvent", "SubscribeMsgChangeEvent", "SubscribeMsgSentEvent":
		m.SubscribeMsgs = subscribeMsgs(f.Fields.All("List"))
	case "PublishEventInfo":
		m.Publication = publication(f.Fields)
	case "KfAccount":
		m.KfAccount = v
	case "FromKfAccount":
		m.FromKfAccount = v
	case "ToKfAccount":
		m.ToKfAccount = v
	case "SessionFrom":
		m.SessionFrom = v
	case "trace_id":
		m.TraceID = v
	case "SuccTime":
		m.SuccTime = seconds(v)
	case "FailTime":
		m.FailTime = seconds(v)
	case "DelayTime":
		m.DelayTime = seconds(v)
	case "ExpiredTime":
		m.ExpiredTime = seconds(v)
	case "Reason":
		m.Reason = v
	case "FailReason":
		m.FailReason = v
	case "ScreenShot":
		m.ScreenShot = v
	}
}

func (m *Message) mass() *MassResult {
	if m.Mass == nil {
		m.Mass = new(MassResult)
	}
	return m.Mass
}

func (r *MassResult) setCopyright(f Fields) {
	r.CheckState = f.integer("CheckState")
	for _, item := range items(f, "ResultList") {
		f := item.Fields
		r.CopyrightChecks = append(r.CopyrightChecks, CopyrightCheck{
			ArticleIdx:            f.integer("ArticleIdx"),
			UserDeclareState:      f.integer("UserDeclareState"),
			AuditState:            f.integer("AuditState"),
			OriginalArticleURL:    f.Get("OriginalArticleUrl"),
			OriginalArticleType:   f.integer("OriginalArticleType"),
			CanReprint:            f.integer("CanReprint"),
			NeedReplaceContent:    f.integer("NeedReplaceContent"),
			NeedShowReprintSource: f.integer("NeedShowReprintSource"),
		})
	}
}

func (r *MassResult) setArticles(f Fields) {
	for _, item := range items(f, "ResultList") {
		r.ArticleURLs = append(r.ArticleURLs, ArticleURL{Idx: item.Fields.integer("ArticleIdx"), URL: item.Fields.Get("ArticleUrl")})
	}
}

func subscribeMsgs(list []Field) []SubscribeMsg {
	var all []SubscribeMsg
	for _, f := range list {
		all = append(all, SubscribeMsg{
			TemplateID:  f.Fields.Get("TemplateId"),
			Status:      f.Fields.Get("SubscribeStatusString"),
			PopupScene:  f.Fields.Get("PopupScene"),
			JobID:       integer(f.Fields.Get("MsgID")),
			ErrorCode:   f.Fields.integer("ErrorCode"),
			ErrorStatus: f.Fields.Get("ErrorStatus"),
		})
	}
	return all
}

func publication(f Fields) *Publication {
	p := &Publication{ID: f.Get("publish_id"), Status: f.integer("publish_status"), ArticleID: f.Get("article_id")}
	for _, item := range items(f, "article_detail") {
		p.Articles = append(p.Articles, ArticleURL{Idx: item.Fields.integer("idx"), URL: item.Fields.Get("article_url")})
	}
	for _, failed := range f.All("fail_idx") {
		p.FailIdx = append(p.FailIdx, int(integer(failed.Value)))
	}
	return p
}

// items returns what a list holds: its <item> elements, or in JSON an array in
// their place.
func items(f Fields, list string) []Field {
	var all []Field
	for _, l := range f.All(list) {
		if inside := l.Fields.All("item"); len(inside) > 0 {
			all = append(all, inside...)
		} else if len(l.Fields) > 0 && !onlyCount(l.Fields) {
			all = append(all, l)
		}
	}
	return all
}

// onlyCount tells an empty list of article_detail from an item.
func onlyCount(f Fields) bool { return len(f) == 1 && f[0].Name == "count" }
