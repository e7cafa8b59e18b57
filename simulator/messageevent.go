package simulator

// Notice is the event of that name with fields of its own, for events that have no
// function here, and new ones of WeChat's. [Samples] has one of each that is known, and
// [Compose] makes it by its name.
func Notice(name string, fields ...Field) Message {
	return Message{Type: "event", Fields: append([]Field{{"Event", name}}, fields...)}
}

func keyed(name, key string, fields ...Field) Message {
	return Notice(name, append([]Field{{"EventKey", key}}, fields...)...)
}

// Subscribe is a new follower, whom most apps welcome.
func Subscribe() Message { return keyed("subscribe", "") }

// subscribeByScene is a new follower by a parametric QR code.
func subscribeByScene(scene, ticket string) Message {
	return keyed("subscribe", "qrscene_"+scene, Field{"Ticket", ticket})
}

// Unsubscribe is a follower who leaves: an app forgets the person, and no reply arrives.
func Unsubscribe() Message { return keyed("unsubscribe", "") }

// Scan is a follower who scans a parametric QR code. Somebody new who scans one is
// Subscribe().With("EventKey", "qrscene_123").
func Scan(scene, ticket string) Message { return keyed("SCAN", scene, Field{"Ticket", ticket}) }

// locationReport tells where a follower is: degrees, and a precision in metres.
func locationReport(latitude, longitude, precision float64) Message {
	return Notice("LOCATION",
		Field{"Latitude", degrees(latitude)}, Field{"Longitude", degrees(longitude)}, Field{"Precision", degrees(precision)})
}

// Click is a click on a menu's button, which the app recognises by its key.
func Click(key string) Message { return keyed("CLICK", key) }

// View is a click on a menu's link, which WeChat reports while it opens the link.
func View(url, menuID string) Message { return keyed("VIEW", url, Field{"MenuId", Number(menuID)}) }

// viewMiniProgram is a click on a menu's mini program.
func viewMiniProgram(pagePath, menuID string) Message {
	return keyed("view_miniprogram", pagePath, Field{"MenuId", Number(menuID)})
}

// scanCodePush is a code scanned by a menu's button.
func scanCodePush(key, scanType, result string) Message {
	return scanned("scancode_push", key, scanType, result)
}

// scanCodeWait is the same while the follower waits for an answer
// (scancode_waitmsg).
func scanCodeWait(key, scanType, result string) Message {
	return scanned("scancode_waitmsg", key, scanType, result)
}

func scanned(name, key, scanType, result string) Message {
	return keyed(name, key, Field{"ScanCodeInfo", []Field{{"ScanType", scanType}, {"ScanResult", result}}})
}

// picSysPhoto is pictures taken by a menu's button, given by their MD5.
func picSysPhoto(key string, md5 ...string) Message { return pictures("pic_sysphoto", key, md5) }

// picPhotoOrAlbum is pictures taken or chosen.
func picPhotoOrAlbum(key string, md5 ...string) Message {
	return pictures("pic_photo_or_album", key, md5)
}

// picWeixin is pictures chosen in WeChat's album.
func picWeixin(key string, md5 ...string) Message { return pictures("pic_weixin", key, md5) }

func pictures(name, key string, md5 []string) Message {
	items := make([]Field, len(md5))
	for i, sum := range md5 {
		items[i] = Field{"item", []Field{{"PicMd5Sum", sum}}}
	}
	return keyed(name, key, Field{"SendPicsInfo", []Field{{"Count", len(md5)}, {"PicList", items}}})
}

// locationSelect is a place chosen by a menu's button. Its numbers are CDATA, as
// WeChat writes them here.
func locationSelect(key string, latitude, longitude float64, scale, label, poi string) Message { //nolint:revive,lll // the fields of the event, in WeChat's order
	return keyed("location_select", key, Field{"SendLocationInfo", []Field{
		{"Location_X", string(degrees(latitude))},
		{"Location_Y", string(degrees(longitude))},
		{"Scale", scale},
		{"Label", label},
		{"Poiname", poi},
	}})
}

// templateSendJobFinish tells what became of a template message: "success",
// "failed:user block" or "failed: system failed".
func templateSendJobFinish(id int64, status string) Message {
	return Notice("TEMPLATESENDJOBFINISH", Field{"MsgID", id}, Field{"Status", status})
}

// massSendJobFinish tells what became of a mass message: "send success", "send
// fail" or "err(10001)" and the like.
func massSendJobFinish(id int64, status string, total, filtered, sent, errors int) Message { //nolint:revive,lll // the fields of the event, in WeChat's order
	return Notice("MASSSENDJOBFINISH", Field{"MsgID", id}, Field{"Status", status},
		Field{"TotalCount", total}, Field{"FilterCount", filtered}, Field{"SentCount", sent}, Field{"ErrorCount", errors})
}

// withArticles adds what a massSendJobFinish of articles has besides: the result
// of the copyright check and the articles' addresses.
func (m Message) withArticles(urls ...string) Message {
	checked, addresses := make([]Field, len(urls)), make([]Field, len(urls))
	for i, url := range urls {
		checked[i] = Field{"item", []Field{
			{"ArticleIdx", i + 1},
			{"UserDeclareState", 0},
			{"AuditState", 2},
			{"OriginalArticleUrl", url},
			{"OriginalArticleType", 1},
			{"CanReprint", 1},
			{"NeedReplaceContent", 0},
			{"NeedShowReprintSource", 0},
		}}
		addresses[i] = Field{"item", []Field{{"ArticleIdx", i + 1}, {"ArticleUrl", url}}}
	}
	return m.With("CopyrightCheckResult", []Field{{"Count", len(urls)}, {"ResultList", checked}, {"CheckState", 2}}).
		With("ArticleUrlResult", []Field{{"Count", len(urls)}, {"ResultList", addresses}})
}

// subscription is one template's line in the events of subscription messages
// (订阅通知).
type subscription struct {
	TemplateID string
	Status     string // accept or reject
	Scene      int    // of SubscribeMsgPopup
}

// subscribeMsgPopup tells what a follower chose in the dialog of subscription
// messages.
func subscribeMsgPopup(choices ...subscription) Message {
	list := make([]Field, len(choices))
	for i, c := range choices {
		list[i] = Field{"List", []Field{{"TemplateId", c.TemplateID}, {"SubscribeStatusString", c.Status}, {"PopupScene", c.Scene}}}
	}
	return Notice("subscribe_msg_popup_event", Field{"SubscribeMsgPopupEvent", list})
}

// subscribeMsgChange tells what a follower changed in the settings.
func subscribeMsgChange(choices ...subscription) Message {
	list := make([]Field, len(choices))
	for i, c := range choices {
		list[i] = Field{"List", []Field{{"TemplateId", c.TemplateID}, {"SubscribeStatusString", c.Status}}}
	}
	return Notice("subscribe_msg_change_event", Field{"SubscribeMsgChangeEvent", list})
}

// subscribeMsgSent tells what became of a subscription message.
func subscribeMsgSent(templateID string, id int64, errcode int, status string) Message {
	return Notice("subscribe_msg_sent_event", Field{"SubscribeMsgSentEvent", []Field{{"List", []Field{
		{"TemplateId", templateID}, {"MsgID", id}, {"ErrorCode", errcode}, {"ErrorStatus", status},
	}}}})
}

// publishJobFinish tells what became of a publication (发布).
func publishJobFinish(publishID string, status int, articleID string, urls ...string) Message {
	detail := []Field{{"count", len(urls)}}
	for i, url := range urls {
		detail = append(detail, Field{"item", []Field{{"idx", i + 1}, {"article_url", url}}})
	}
	return Notice("PUBLISHJOBFINISH", Field{"PublishEventInfo", []Field{
		{"publish_id", publishID}, {"publish_status", status}, {"article_id", articleID}, {"article_detail", detail},
	}})
}

// kfCreateSession tells that a customer service agent begins a session.
func kfCreateSession(account string) Message {
	return Notice("kf_create_session", Field{"KfAccount", account})
}

// kfCloseSession tells that it ends.
func kfCloseSession(account string) Message {
	return Notice("kf_close_session", Field{"KfAccount", account})
}

// kfSwitchSession tells that another agent takes it over.
func kfSwitchSession(from, to string) Message {
	return Notice("kf_switch_session", Field{"FromKfAccount", from}, Field{"ToKfAccount", to})
}

// userEnterTempSession is a user who opens a mini program's customer service.
func userEnterTempSession(sessionFrom string) Message {
	return Notice("user_enter_tempsession", Field{"SessionFrom", sessionFrom})
}

// weappAuditSuccess tells that a mini program's version passed the review; at is
// in Unix seconds here and below.
func weappAuditSuccess(at int64) Message {
	return Notice("weapp_audit_success", Field{"SuccTime", at})
}

// weappAuditFail tells that it did not.
func weappAuditFail(at int64, reason, screenshot string) Message {
	return Notice("weapp_audit_fail", Field{"Reason", reason}, Field{"FailTime", at}, Field{"ScreenShot", screenshot})
}

// weappAuditDelay tells that the review takes longer.
func weappAuditDelay(at int64, reason string) Message {
	return Notice("weapp_audit_delay", Field{"Reason", reason}, Field{"DelayTime", at})
}

// wxaMediaCheck tells the result of a content check: suggest is "pass", "review"
// or "risky".
func wxaMediaCheck(appid, traceID, suggest string, label int) Message {
	return Notice("wxa_media_check", Field{"appid", appid}, Field{"trace_id", traceID}, Field{"version", 2},
		Field{"result", []Field{{"suggest", suggest}, {"label", label}}},
		Field{"detail", []Field{{"strategy", "content_model"}, {"errcode", 0}, {"suggest", suggest}, {"label", label}, {"prob", 90}}})
}

// qualificationVerifySuccess tells that the account's qualification was verified.
func qualificationVerifySuccess(expires int64) Message {
	return Notice("qualification_verify_success", Field{"ExpiredTime", expires})
}

// qualificationVerifyFail tells that it was not.
func qualificationVerifyFail(at int64, reason string) Message {
	return Notice("qualification_verify_fail", Field{"FailTime", at}, Field{"FailReason", reason})
}

// namingVerifySuccess tells that the account's name was verified.
func namingVerifySuccess(expires int64) Message {
	return Notice("naming_verify_success", Field{"ExpiredTime", expires})
}

// namingVerifyFail tells that it was not.
func namingVerifyFail(at int64, reason string) Message {
	return Notice("naming_verify_fail", Field{"FailTime", at}, Field{"FailReason", reason})
}

// annualRenew reminds of the yearly verification.
func annualRenew(expires int64) Message { return Notice("annual_renew", Field{"ExpiredTime", expires}) }

// verifyExpired tells that the verification has expired.
func verifyExpired(expires int64) Message {
	return Notice("verify_expired", Field{"ExpiredTime", expires})
}
