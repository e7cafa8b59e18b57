import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'
import { words } from '../words.mjs'

// The index of docs says which jobs there are, in which order, in which words.
function sidebar(index, base) {
  const text = readFileSync(fileURLToPath(new URL('../dist/pages/' + index, import.meta.url)), 'utf8')
  const groups = []
  for (const line of text.split('\n')) {
    const row = line.match(/^\| \*\*(.+)\*\* \| (.+) \|$/)
    if (!row) continue
    const items = Array.from(row[2].matchAll(/\[([^\]]+)\]\(([^)]+)\.md\)/g), ([, title, page]) => ({ text: title, link: base + page }))
    groups.push({ text: row[1], items })
  }
  return groups
}

const chinese = {
  nav: [
    { text: '快速上手', link: '/getting-started' },
    { text: '按要做的事', link: '/#按要做的事' },
    { text: '错误码', link: '/errors' },
  ],
  sidebar: () => [...sidebar('index.md', '/'), {
    text: '参考',
    items: [
      ['快速上手', 'getting-started'], ['消息与事件', 'messages'], ['登录', 'login'], ['企业微信', 'wecom'], ['模拟器', 'simulator'],
      ['存储', 'stores'], ['网关', 'gateway'], ['部署', 'deploying'], ['运维', 'operating'], ['迁移', 'moving'], ['错误码', 'errors'], ['刷新协议', 'protocol'],
    ].map(([text, page]) => ({ text, link: '/' + page })),
  }],
  outline: { label: '本页内容', level: [2, 3] },
  docFooter: { prev: '上一页', next: '下一页' },
  returnToTopLabel: '回到顶部', sidebarMenuLabel: '目录', darkModeSwitchLabel: '外观', langMenuLabel: '语言',
  lightModeSwitchTitle: '切换到浅色', darkModeSwitchTitle: '切换到深色', skipToContentLabel: '跳到正文',
}

const english = {
  nav: [
    { text: 'Getting started', link: '/en/getting-started' },
    { text: 'By job', link: '/en/#by-job' },
    { text: 'Errors', link: '/en/errors' },
  ],
  sidebar: () => [...sidebar('en/index.md', '/en/'), {
    text: 'Reference',
    items: [
      ['Getting started', 'getting-started'], ['Messages and events', 'messages'], ['Logins', 'login'], ['WeCom', 'wecom'], ['Simulator', 'simulator'],
      ['Stores', 'stores'], ['Gateway', 'gateway'], ['Deploying', 'deploying'], ['Operating', 'operating'], ['Moving', 'moving'], ['Errors', 'errors'], ['Protocol', 'protocol'],
    ].map(([text, page]) => ({ text, link: '/en/' + page })),
  }],
}

const find = {
  button: { buttonText: '搜索文档', buttonAriaLabel: '搜索文档' },
  modal: {
    displayDetails: '显示详情', resetButtonTitle: '清除', backButtonTitle: '关闭', noResultsText: '没有找到',
    footer: { selectText: '打开', navigateText: '切换', closeText: '关闭' },
  },
}

export default defineConfig({
  title: 'zhongkong',
  description: '微信中控服务器：access_token 统一保管、固定出口 IP、免 AppSecret、一个回调多个系统、登录中转',
  srcDir: 'dist/pages',
  outDir: 'dist/site',
  cacheDir: 'dist/cache',
  cleanUrls: true,
  lastUpdated: false,
  markdown: {
    anchor: { slugify: anchor },
    config(md) { // the pages name XML elements, which are no HTML here
      const ours = /^<(!--|\/?(a|br|img|p|picture|source)\b)/
      for (const rule of ['html_inline', 'html_block']) {
        const render = md.renderer.rules[rule]
        md.renderer.rules[rule] = (tokens, i, ...rest) =>
          ours.test(tokens[i].content) ? render(tokens, i, ...rest) : md.utils.escapeHtml(tokens[i].content)
      }
    },
  },
  locales: {
    root: { label: '简体中文', lang: 'zh-CN', themeConfig: { ...chinese, sidebar: chinese.sidebar() } },
    en: { label: 'English', lang: 'en', themeConfig: { ...english, sidebar: english.sidebar() } },
  },
  themeConfig: {
    search: {
      provider: 'local',
      options: { locales: { root: { translations: find } }, miniSearch: { options: { tokenize: words } } },
    },
  },
})

// anchor is what GitHub makes of a heading, since the pages link to that: see Anchor in internal/docs.
function anchor(heading) {
  return heading.trim().toLowerCase().replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '').replaceAll(' ', '-')
}
