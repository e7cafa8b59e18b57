'use strict';

// Does what it is told on stdin with co-wechat-api, co-wechat, co-wechat-oauth and wechat-crypto: a
// line {"method", "arguments"} is answered by a line {"Result"} or {"Error"}.
// It ends with stdin.

const http = require('http');
const readline = require('readline');
const API = require('co-wechat-api');
const OAuth = require('co-wechat-oauth');
const httpx = require('httpx'); // by which co-wechat-oauth calls a host that no option changes
const wechat = require('co-wechat');
const WXBizMsgCrypt = require('wechat-crypto');

const at = JSON.parse(process.argv.at(-1));

const api = new API(at.AppID, at.Secret);
api.prefix = at.URL + '/cgi-bin/'; // no option of the constructor

const request = httpx.request;
httpx.request = (url, options) => request(url.replace('https://api.weixin.qq.com', at.URL), options); // as DNS would

const oauth = new OAuth(at.AppID, at.Secret);

const methods = {
  token: async () => (await api.ensureAccessToken()).accessToken,
  call: () => api.getIp(),

  // The middleware is made for Koa; this is the part of Koa that it uses.
  serve: () => new Promise((resolve) => {
    const handle = wechat({token: at.Token, appid: at.AppID, encodingAESKey: at.AESKey})
      .middleware(async (message) => '收到: ' + message.Content);
    const server = http.createServer(async (req, res) => {
      const ctx = {
        req, method: req.method, status: 200, request: {},
        query: Object.fromEntries(new URL(req.url, 'http://localhost').searchParams),
      };
      try {
        await handle(ctx);
      } catch (err) {
        ctx.status = 500;
        ctx.body = String(err);
      }
      res.writeHead(ctx.status, {'Content-Type': ctx.type || 'text/plain'});
      res.end(ctx.body);
    });
    server.listen(0, '127.0.0.1', () => resolve('http://127.0.0.1:' + server.address().port));
  }),

  authorizeURL: ({redirect, state, scope}) => oauth.getAuthorizeURL(redirect, state, scope),
  userByCode: ({code}) => oauth.getUserByCode(code),

  sign: ({timestamp, nonce, encrypt}) => crypt().getSignature(timestamp, nonce, encrypt),
  encrypt: ({message}) => crypt().encrypt(message),
  decrypt: ({encrypt}) => crypt().decrypt(encrypt),
};

const crypt = () => new WXBizMsgCrypt(at.Token, at.AESKey, at.AppID);

readline.createInterface({input: process.stdin}).on('line', async (line) => {
  const question = JSON.parse(line);
  let answer;
  try {
    answer = {Result: await methods[question.method](question.arguments || {})};
  } catch (err) {
    answer = {Error: (err.code ? err.code + ' ' : '') + err.message};
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}).on('close', () => process.exit(0));
