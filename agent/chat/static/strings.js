// Every text of the public pages, in English and Chinese, and what shows them.

export const STRINGS = {
  en: {
    skip: "Skip to the message box", chat_title: "Chat", call_title: "Call", picture_title: "Send a picture",
    phone: "Telephone", message: "Message", send: "Send", send_picture: "Send a picture", choose_picture: "Choose a picture",
    end_chat: "End the chat", start_again: "Start a new chat", start_call: "Start the call", mute: "Mute", hang_up: "Hang up",
    your_voice: "You", our_voice: "Agent", keypad: "Keypad", key: "Key {key}",
    you: "You", agent: "Agent", you_pressed: "You pressed {key}",
    connecting: "Connecting …", returning: "The connection broke. Connecting again …",
    over: "The conversation is over.", lost: "The connection is lost.", transferred: "You are being connected to {target}.",
    listening: "Your turn", thinking: "The agent is thinking …", speaking: "The agent is speaking",
    yielding: "The agent is listening", interrupted: "The agent is listening", transferring: "Calling a person …",
    human: "You are with a person", closing: "Goodbye",
    no_microphone: "There is no microphone, or it may not be used. Allow it for this page and start again, or use the chat.",
    no_sound: "This browser cannot record sound for this page. It needs https, or an address of this machine.",
    muted: "You are muted", mute_on: "Mute (on)",
    picture_help: "Send a photograph of a receipt, a label or a message on a screen: JPEG, PNG or WebP. Location and other data in the file are not kept.",
    picture_reading: "The picture is being read …", picture_nothing: "Nothing could be read in the picture.",
    picture_of_yours: "The picture you sent", picture_large: "The picture has more than {mb} MB; send a smaller one.",
    picture_kind: "Send a JPEG, PNG or WebP picture.", picture_lost: "The picture was not sent. Try again.",
    picture_used: "This link was used. Ask for a new one.", picture_more: "Send another picture",
    read_label: "What was read", all_text: "All text", unsure: "unsure", passed_on: "passed on", is_right: "Send this", shows: "Shows: {text}",
    f_order_number: "Order number", f_total: "Total", f_date: "Date", f_error_code: "Error code",
    say_order_number: "My order number is {value}.", say_total: "The total is {value}.", say_date: "The date is {value}.",
    say_error_code: "The error code is {value}.", say_other: "My {name} is {value}.",
    e_rate_limited: "Too many tries. Wait a minute.", e_full: "All places are taken. Try again in a few minutes.",
    e_too_many_calls: "Too many conversations are open from here. End one first.",
    e_too_many_pictures: "You have sent as many pictures as can be taken.", e_busy: "There is too much to do right now. Try again in a moment.",
    e_too_large: "The picture is too large.", e_too_many_pixels: "The picture has too many pixels. Send a smaller one.",
    e_too_small: "The picture is too small to be read.", e_unknown_format: "This is no picture that can be read. Send a JPEG, PNG or WebP.",
    e_damaged: "The picture is damaged. Take or save it again.", e_moving: "This is a moving picture. Send a still one.",
    e_other: "That did not work. Try again.", theme: "Light or dark", language: "中文",
  },
  zh: {
    skip: "跳到输入框", chat_title: "在线聊天", call_title: "语音通话", picture_title: "发送图片",
    phone: "电话", message: "消息", send: "发送", send_picture: "发送图片", choose_picture: "选择图片",
    end_chat: "结束聊天", start_again: "开始新的聊天", start_call: "开始通话", mute: "静音", hang_up: "挂断",
    your_voice: "您", our_voice: "客服", keypad: "拨号键", key: "按键 {key}",
    you: "您", agent: "客服", you_pressed: "您按了 {key}",
    connecting: "正在连接……", returning: "连接中断，正在重新连接……",
    over: "对话已结束。", lost: "连接已断开。", transferred: "正在为您转接 {target}。",
    listening: "请讲", thinking: "客服正在思考……", speaking: "客服正在说话",
    yielding: "客服正在听", interrupted: "客服正在听", transferring: "正在联系人工客服……",
    human: "您正在与人工客服通话", closing: "再见",
    no_microphone: "没有麦克风，或不允许使用。请允许本页使用麦克风后重新开始，或使用聊天。",
    no_sound: "此浏览器无法为本页录音。需要 https 或本机地址。",
    muted: "您已静音", mute_on: "静音（已开）",
    picture_help: "请发送收据、标签或屏幕信息的照片：JPEG、PNG 或 WebP。文件中的位置等数据不会保留。",
    picture_reading: "正在识别图片……", picture_nothing: "图片中没有识别到内容。",
    picture_of_yours: "您发送的图片", picture_large: "图片超过 {mb} MB，请发送小一些的。",
    picture_kind: "请发送 JPEG、PNG 或 WebP 图片。", picture_lost: "图片没有发送成功，请重试。",
    picture_used: "此链接已使用，请索取新的链接。", picture_more: "再发送一张图片",
    read_label: "识别结果", all_text: "全部文字", unsure: "不确定", passed_on: "已转告", is_right: "发送", shows: "图中内容：{text}",
    f_order_number: "订单号", f_total: "合计", f_date: "日期", f_error_code: "错误代码",
    say_order_number: "我的订单号是{value}。", say_total: "合计是{value}。", say_date: "日期是{value}。",
    say_error_code: "错误代码是{value}。", say_other: "我的{name}是{value}。",
    e_rate_limited: "尝试次数过多，请等一分钟。", e_full: "目前已满，请几分钟后再试。",
    e_too_many_calls: "此处打开的对话过多，请先结束一个。",
    e_too_many_pictures: "可发送的图片已达上限。", e_busy: "目前繁忙，请稍后再试。",
    e_too_large: "图片太大。", e_too_many_pixels: "图片像素过多，请发送小一些的。",
    e_too_small: "图片太小，无法识别。", e_unknown_format: "无法识别的图片格式，请发送 JPEG、PNG 或 WebP。",
    e_damaged: "图片已损坏，请重新拍摄或保存。", e_moving: "这是动态图片，请发送静态图片。",
    e_other: "没有成功，请重试。", theme: "浅色或深色", language: "English",
  },
};

function kept(name, choices, otherwise) {
  try {
    const found = localStorage.getItem(name);
    return choices.includes(found) ? found : otherwise;
  } catch {
    return otherwise;
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch { /* private windows may refuse */ }
}

export let language = kept("chat-language", ["en", "zh"], navigator.language.startsWith("zh") ? "zh" : "en");

/** A text in the chosen language, its {names} filled in. */
export function t(name, values = {}) {
  const text = STRINGS[language][name] ?? STRINGS.en[name] ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

/** The words for an error's code. */
export function problem(code) {
  return `e_${code}` in STRINGS.en ? t(`e_${code}`) : t("e_other");
}

/** Put texts into every element that names one, and the two switches into #tools. */
export function dress(titled, changed = () => {}) {
  const tools = document.getElementById("tools");
  const tongue = document.createElement("button");
  const theme = document.createElement("button");
  tongue.type = theme.type = "button";
  const show = () => {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = t(titled);
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
    tongue.textContent = t("language");
    tongue.lang = language === "zh" ? "en" : "zh-CN";
    theme.textContent = t("theme");
    changed();
  };
  tongue.addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    keep("chat-language", language);
    show();
  });
  const dark = kept("chat-theme", ["light", "dark"], "");
  if (dark) document.documentElement.dataset.theme = dark;
  theme.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme
      ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
    keep("chat-theme", document.documentElement.dataset.theme);
  });
  tools.append(tongue, theme);
  show();
}
