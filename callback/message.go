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
	TypeText            Type = "text"            // 文本
	TypeImage           Type = "image"           // 图片, by its PicURL and MediaID
	TypeVoice           Type = "voice"           // 语音, by its MediaID
	TypeVideo           Type = "video"           // 视频, by its MediaID
	TypeShortVideo      Type = "shortvideo"      // 小视频, by its MediaID
	TypeLocation        Type = "location"        // a place that the follower sends; not [Location]
	TypeLink            Type = "link"            // 链接
	TypeFile            Type = "file"            // 文件; WeChat does not document it
	TypeMiniProgramPage Type = "miniprogrampage" // 小程序卡片
	TypeEvent           Type = "event"           // something happened: see [Event]
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
	Subscribe       Event = "subscribe"        // 关注; by a QR code too, see [Message.Scene]
	Unsubscribe     Event = "unsubscribe"      // 取消关注: replies no longer reach the user
	Scan            Event = "SCAN"             // of a parametric QR code, by a follower
	Location        Event = "LOCATION"         // sent when the chat is opened; not [TypeLocation]
	Click           Event = "CLICK"            // a button of the menu with a key
	View            Event = "VIEW"             // a button of the menu that opens a web page
	ViewMiniProgram Event = "view_miniprogram" // a button of the menu that opens a mini program

	ScanCodePush    Event = "scancode_push"      // the menu's scanner found something: 扫码推事件
	ScanCodeWaitMsg Event = "scancode_waitmsg"   // the same, and the follower waits for a message: 扫码带提示
	PicSysPhoto     Event = "pic_sysphoto"       // pictures from the camera follow: 系统拍照发图
	PicPhotoOrAlbum Event = "pic_photo_or_album" // pictures from camera or album follow: 拍照或者相册发图
	PicWeixin       Event = "pic_weixin"         // pictures from the album follow: 微信相册发图
	LocationSelect  Event = "location_select"    // a place chosen through the menu: 发送位置

	TemplateSent       Event = "TEMPLATESENDJOBFINISH"      // a template message was delivered, or was not: see Status
	MassSent           Event = "MASSSENDJOBFINISH"          // a mass message is done: see Mass
	Published          Event = "PUBLISHJOBFINISH"           // a publication is done: see Publication
	SubscribeMsgPopup  Event = "subscribe_msg_popup_event"  // the user answered a request to subscribe: see SubscribeMsgs
	SubscribeMsgChange Event = "subscribe_msg_change_event" // the user changed such an answer in the settings
	SubscribeMsgSent   Event = "subscribe_msg_sent_event"   // a subscription message was delivered, or was not

	ServiceBegun    Event = "kf_create_session"      // customer service (客服) took the follower: see KfAccount
	ServiceEnded    Event = "kf_close_session"       // the session of customer service ended
	ServiceSwitched Event = "kf_switch_session"      // from FromKfAccount to ToKfAccount
	TempSession     Event = "user_enter_tempsession" // a user came to customer service: see SessionFrom

	MediaChecked          Event = "wxa_media_check"              // the result of a check that was asked for, by its TraceID
	AuditPassed           Event = "weapp_audit_success"          // 小程序审核: a mini program's version may be released
	AuditFailed           Event = "weapp_audit_fail"             // 小程序审核: see Reason
	AuditDelayed          Event = "weapp_audit_delay"            // 小程序审核: it takes longer, see Reason
	QualificationVerified Event = "qualification_verify_success" // 资质认证成功, until ExpiredTime
	QualificationFailed   Event = "qualification_verify_fail"    // 资质认证失败: see FailReason
	NamingVerified        Event = "naming_verify_success"        // 名称认证成功, until ExpiredTime
	NamingFailed          Event = "naming_verify_fail"           // 名称认证失败: see FailReason
	AnnualRenewal         Event = "annual_renew"                 // 年审: the verification is to be renewed before ExpiredTime
	VerificationExpired   Event = "verify_expired"               // 认证过期失效, since ExpiredTime
)

// Message is a message or an event, whether it came as XML or as JSON. Which
// fields are set depends on Type and Event; what has none here, because it is new
// or rare, is in Fields. A value that is not a number is 0 here and in Fields as it
// was sent. The fields of events are set for events only, so that nothing a
// follower writes into a text looks like one.
type Message struct {
	ToUserName   string    // the account: gh_ and twelve digits
	FromUserName string    // the follower's openid
	CreateTime   time.Time // by WeChat's clock, in whole seconds
	Type         Type      // MsgType
	ID           int64     // MsgId; 0 for events
	AgentID      string    // of the app, in WeCom
	DataID       string    // MsgDataId; this and Idx with messages from an article
	Idx          int       // of the article, from 1 on

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
	Scale        int     // location: of the map
	Label        string  // location: the address
	Title        string  // link, file, miniprogrampage
	Description  string  // link, file
	URL          string  // link
	FileKey      string  // file: not documented by WeChat
	FileMD5      string  // file: not documented by WeChat
	FileTotalLen int64   // file; bytes
	AppID        string  // miniprogrampage; wxa_media_check
	PagePath     string  // miniprogrampage
	ThumbURL     string  // miniprogrampage

	Event            Event             // of [TypeEvent]
	EventKey         string            // of the menu or QR code; after subscribe with the prefix qrscene_, see Scene
	Ticket           string            // subscribe and SCAN, of the QR code
	Latitude         float64           // LOCATION; this and the next two
	Longitude        float64           // degrees
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
	ScanResult string // the text of the code
}

// SendPicsInfo announces pictures that come as messages of their own.
type SendPicsInfo struct {
	Count      int      // how many pictures follow
	PicMD5Sums []string // in hexadecimal, one for each picture
}

// SendLocationInfo is the place that a follower chose.
type SendLocationInfo struct {
	LocationX float64 // latitude
	LocationY float64 // longitude
	Scale     int     // of the map
	Label     string  // the address
	PoiName   string  // what is there, such as a shop; may be ""
}

// MassResult is what became of a mass message.
type MassResult struct {
	TotalCount  int // followers that it was for
	FilterCount int // of these, those that WeChat did not leave out
	SentCount   int // of these, those that got it
	ErrorCount  int // of these, those that did not

	CheckState      int              // of the check for originality
	CopyrightChecks []CopyrightCheck // one for each article that was checked
	ArticleURLs     []ArticleURL     // of what was sent
}

// CopyrightCheck is the check of one article for originality. Its numbers are WeChat's,
// which are kept as they were sent.
type CopyrightCheck struct {
	ArticleIdx            int    // from 1 on
	UserDeclareState      int    // what the account said of the article
	AuditState            int    // what WeChat found
	OriginalArticleURL    string // of the article that it repeats; may be ""
	OriginalArticleType   int    // of the same, in a number of WeChat's
	CanReprint            int    // whether that article allows it
	NeedReplaceContent    int    // whether WeChat puts that article's text in
	NeedShowReprintSource int    // whether WeChat names that article as the source
}

// ArticleURL is where one of several articles stands.
type ArticleURL struct {
	Idx int    // from 1 on
	URL string // for readers in WeChat
}

// SubscribeMsg is what became of one template of a subscription message.
type SubscribeMsg struct {
	TemplateID  string // as the console shows it
	Status      string // SubscribeStatusString: accept or reject
	PopupScene  string // where the user was asked; only in subscribe_msg_popup_event
	JobID       int64  // MsgID, after sending; this and the next two
	ErrorCode   int    // 0 for success
	ErrorStatus string // in words
}

// Publication is what became of a publication.
type Publication struct {
	ID        string       // publish_id, which the call that began it returned
	Status    int          // publish_status: 0 for success
	ArticleID string       // with success
	Articles  []ArticleURL // with success
	FailIdx   []int        // of the articles that were not taken
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
