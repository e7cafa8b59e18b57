'use strict';

// Does what it is told on stdin, as peer.js does, with one of the packages for WeCom:
// node corp.js PACKAGE TARGET. The target's AppID is the corpid and the agentid.

const EventEmitter = require('events');
const readline = require('readline');

const at = JSON.parse(process.argv.at(-1));
const [corpid, agentid] = at.AppID.split(':');
const to = 'zhangsan', text = '你好';

const must = (answer) => {
  if (answer.errcode !== 0) throw new Error(`errcode ${answer.errcode}: ${answer.errmsg}`);
};

const packages = {
  'wechat-enterprise-api': () => {
    const API = require('wechat-enterprise-api');
    const api = new API(corpid, at.Secret, agentid);
    api.prefix = at.URL + '/cgi-bin/'; // no option of the constructor
    const wait = (start) => new Promise((resolve, reject) => start((err, result) => err ? reject(err) : resolve(result)));
    return {
      token: async () => (await wait((done) => api.getLatestToken(done))).accessToken,
      call: () => wait((done) => api.send({touser: to}, {msgtype: 'text', text: {content: text}, safe: '0'}, done)),
    };
  },

  // A library that sends notifications.
  'push-all-in-one': () => {
    const axios = require('axios'); // by which it calls a host that no option changes
    axios.interceptors.request.use((config) => ({...config, url: config.url.replace('https://qyapi.weixin.qq.com', at.URL)})); // as DNS would
    const {WechatApp} = require('push-all-in-one');
    const app = new WechatApp({WECHAT_APP_CORPID: corpid, WECHAT_APP_SECRET: at.Secret, WECHAT_APP_AGENTID: Number(agentid)});
    const call = async () => must((await app.send('通知', text, {touser: to})).data);
    return {
      token: async () => {
        if (!app.ACCESS_TOKEN) await call();
        return app.ACCESS_TOKEN;
      },
      call,
    };
  },

  // Node-RED's node for HTTP requests, in a flow that gets a token and sends with it. It runs
  // without the rest of Node-RED, of which it needs little.
  '@node-red/nodes': async () => {
    let Request;
    await require('@node-red/nodes/core/network/21-httprequest.js')({
      settings: {}, _: (text) => text, log: console,
      nodes: {
        createNode: (node) => Object.assign(node, {status() {}, metric() {}, warn: console.error}),
        registerType: (_, node) => { Request = node; Object.setPrototypeOf(node.prototype, EventEmitter.prototype); },
        getNode: () => null,
      },
    });
    const run = (config, msg) => new Promise((resolve, reject) => {
      const node = new Request({ret: 'obj', senderr: true, ...config});
      node.error = reject;
      node.emit('input', msg, (out) => resolve(out.payload), () => {});
    });
    let token;
    const get = async () => {
      if (!token) {
        const answer = await run({method: 'GET', url: `${at.URL}/cgi-bin/gettoken?corpid=${corpid}&corpsecret=${at.Secret}`}, {});
        must(answer);
        token = answer.access_token;
      }
      return token;
    };
    return {
      token: get,
      call: async () => must(await run({method: 'POST', url: at.URL + '/cgi-bin/message/send?access_token={{token}}'},
        {token: await get(), payload: {touser: to, msgtype: 'text', agentid: Number(agentid), text: {content: text}}})),
    };
  },

  // A plug-in by which an agent (OpenClaw) talks with the members of a corp.
  '@openclaw-china/wecom-app': async () => {
    const plugin = await import('@openclaw-china/wecom-app');
    const account = {
      corpId: corpid, corpSecret: at.Secret, agentId: Number(agentid), canSendActive: true, config: {apiBaseUrl: at.URL},
    };
    return {
      token: () => plugin.getAccessToken(account),
      call: async () => must(await plugin.sendWecomAppMessage(account, {userId: to}, text)),
    };
  },
};

(async () => {
  const methods = await packages[process.argv[2]]();
  readline.createInterface({input: process.stdin}).on('line', async (line) => {
    let answer;
    try {
      answer = {Result: await methods[JSON.parse(line).method]() ?? null};
    } catch (err) {
      answer = {Error: (err.code ? err.code + ' ' : '') + err.message};
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }).on('close', () => process.exit(0));
})();
