// npm's certified oidc-provider on loopback, shaped like Entra ID, a Databricks workspace or Hugging Face, with
// endpoints that say as whom they are asked. `certified_provider.py` starts it, and says for which page:
//   node certified_provider.mjs PROFILE PAGE-URL REDIRECT-PATH CLIENT SECRET
// It ends when its standard input does.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import Provider from "oidc-provider";

const [profileName, page, redirectPath, client, secret] = process.argv.slice(2);
const TENANT = "11111111-2222-3333-4444-555555555555";
const GROUPS = { ann: ["readers", "writers"], bob: ["guests"] };
const person = (sub) => ({ sub, name: sub[0].toUpperCase() + sub.slice(1), groups: GROUPS[sub] ?? [] });

// under: what the provider's addresses begin with; issuer: by which it is known, where that is no address of its own.
const PROFILES = {
  entra: {
    under: `/${TENANT}`,
    issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`,
    routes: {
      authorization: "/oauth2/v2.0/authorize",
      token: "/oauth2/v2.0/token",
      jwks: "/discovery/v2.0/keys",
    },
    discovery: `/${TENANT}/v2.0/.well-known/openid-configuration`,
    claims: (sub) => ({
      ...person(sub),
      tid: TENANT,
      oid: `object-of-${sub}`,
      sub: `of-this-app-alone-${sub}`,
    }),
    claimsOf: { openid: ["sub", "tid", "oid", "groups"], profile: ["name"] },
    inIdToken: true,
  },
  databricks: {
    under: "/oidc",
    routes: { authorization: "/v1/authorize", token: "/v1/token" },
    claims: (sub) => ({ sub }),
    claimsOf: { openid: ["sub"] },
    scopes: ["all-apis", "offline_access"],
  },
  huggingface: {
    under: "",
    routes: { authorization: "/oauth/authorize", token: "/oauth/token", userinfo: "/oauth/userinfo" },
    claims: (sub) => ({
      ...person(sub),
      preferred_username: sub,
      orgs: person(sub).groups.map((one) => ({ sub: `id-of-${one}`, name: one, preferred_username: one })),
    }),
    claimsOf: { openid: ["sub"], profile: ["name", "preferred_username", "orgs"] },
    scopes: ["inference-api"],
  },
};
const profile = PROFILES[profileName];
const seen = { refreshed: 0, refused: [] };

const server = createServer();
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(profile.issuer ?? `${origin}${profile.under}`, {
  clients: [
    {
      client_id: client,
      client_secret: secret,
      redirect_uris: [page + redirectPath],
      post_logout_redirect_uris: [`${page}/-/signed-out`],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
    },
  ],
  routes: profile.routes,
  scopes: ["openid", "offline_access", ...(profile.scopes ?? [])],
  claims: profile.claimsOf,
  conformIdTokenClaims: !profile.inIdToken,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: () => true,
  ttl: { AccessToken: 45, IdToken: 300, RefreshToken: 3600, Session: 3600, Grant: 3600, Interaction: 600 },
  cookies: { keys: ["a key of this test alone"] },
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        ctx.body = `<!doctype html>${form}<button form="op.logoutForm" name="logout" value="yes">Sign out</button>`;
      },
    },
  },
  interactions: { url: (_, { uid }) => `${profile.under}/interaction/${uid}` },
  findAccount: (_, sub) => ({ accountId: sub, claims: () => profile.claims(sub) }),
  // Who signs in has said yes to all of it.
  loadExistingGrant: async (ctx) => {
    const { oidc } = ctx;
    const grant = new oidc.provider.Grant({
      accountId: oidc.session.accountId,
      clientId: oidc.client.clientId,
    });
    grant.addOIDCScope([...oidc.requestParamScopes].join(" "));
    await grant.save();
    return grant;
  },
});
provider.on("grant.success", ({ oidc }) => {
  if (oidc.params.grant_type === "refresh_token") seen.refreshed += 1;
});
for (const event of ["grant.error", "authorization.error", "server_error"]) {
  provider.on(event, (_, error) =>
    seen.refused.push(`${event}: ${error.error} ${error.error_description ?? error}`),
  );
}
const answerOidc = provider.callback();

const json = (answer, value, status = 200) => {
  answer.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
};

const asker = async (request) => {
  const token = await provider.AccessToken.find((request.headers.authorization ?? "").replace("Bearer ", ""));
  return token?.isValid ? token.accountId : null;
};

// As an endpoint for chats: it says who asks.
const complete = async (request, answer) => {
  await text(request);
  const sub = await asker(request);
  if (sub === null) return json(answer, { error: { message: "invalid token" } }, 401);
  const piece = (delta, finish_reason = null) =>
    `data: ${JSON.stringify({
      id: "1",
      object: "chat.completion.chunk",
      created: 1,
      model: "m",
      choices: [{ index: 0, delta, finish_reason }],
    })}\n\n`;
  answer.writeHead(200, { "content-type": "text/event-stream" });
  answer.end(
    piece({ role: "assistant", content: `you are ${sub}` }) + piece({}, "stop") + "data: [DONE]\n\n",
  );
};

const interact = async (request, answer) => {
  if (request.method === "GET") {
    const form = '<form method="post"><input name="login" autofocus /><button>Sign in</button></form>';
    return answer.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html>${form}`);
  }
  const accountId = new URLSearchParams(await text(request)).get("login");
  return provider.interactionFinished(request, answer, { login: { accountId } });
};

const OWN = {
  "GET /seen": (_, answer) => json(answer, seen),
  "POST /v1/chat/completions": complete,
  "POST /serving-endpoints/agent/invocations": complete,
  "GET /api/2.0/serving-endpoints/agent": (_, answer) =>
    json(answer, {
      name: "agent",
      task: "llm/v1/chat",
      state: { ready: "READY" },
      permission_level: "CAN_QUERY",
    }),
  "GET /api/2.0/preview/scim/v2/Me": async (request, answer) => {
    const sub = await asker(request);
    if (sub === null) return json(answer, { message: "invalid token" }, 401);
    const groups = person(sub).groups.map((display) => ({ display }));
    return json(answer, {
      id: `id-of-${sub}`,
      userName: `${sub}@example.com`,
      displayName: person(sub).name,
      groups,
    });
  },
};

server.on("request", async (request, answer) => {
  const { pathname } = new URL(request.url, origin);
  const own = OWN[`${request.method} ${pathname}`];
  if (own) return own(request, answer);
  if (pathname.startsWith(`${profile.under}/interaction/`)) return interact(request, answer);
  if (!pathname.startsWith(profile.under)) return json(answer, { error: "not_found" }, 404);
  request.originalUrl = request.url;
  request.url =
    pathname === profile.discovery
      ? "/.well-known/openid-configuration"
      : request.url.slice(profile.under.length);
  if (pathname === profile.discovery) request.originalUrl = profile.under + request.url;
  return answerOidc(request, answer);
});

process.stdin.on("end", () => process.exit()).resume();
console.log(origin);
