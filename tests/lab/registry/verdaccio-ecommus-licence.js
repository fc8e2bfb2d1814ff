'use strict';

// Verdaccio plugin: the licensed scopes of the vendor's registry.
//
// Whoever asks is known by an opaque bearer token. What a token may read stands in a JSON file which is read
// anew for every request, so that a test can revoke a token or let a licence end without a restart:
//
//   { "accounts": { "<name>": { "vendor": false, "expires": "<ISO 8601>" | null, "packages": ["@scope/name"] } },
//     "tokens":   { "<token>": { "account": "<name>", "revoked": false } } }
//
// Every refusal is a 403, as the vendor's documentation says; only the message tells the reason.

const fs = require('node:fs');

function forbidden(message) {
  const error = new Error(message);
  error.code = error.status = error.statusCode = 403;
  return error;
}

class LicenceAuth {
  constructor(config) {
    this.file = config.state;
  }

  state() {
    return JSON.parse(fs.readFileSync(this.file, 'utf8'));
  }

  // There are no passwords: customers get their tokens from the portal.
  authenticate(_user, _password, done) {
    done(forbidden('log in at the customer portal to get a token'));
  }

  // Replaces verdaccio's own tokens. Refusing is left to allow_*: only there the package is known.
  apiJWTmiddleware({ createAnonymousRemoteUser, createRemoteUser }) {
    return (request, response, next) => {
      const [, token] = /^Bearer\s+(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
      const { accounts, tokens } = this.state();
      const entry = token && Object.hasOwn(tokens, token) ? tokens[token] : undefined;
      let user;
      if (!entry) {
        user = createAnonymousRemoteUser();
        user.refusal = token ? 'the token is not valid' : 'no token was given (NPM_REGISTRY_TOKEN)';
      } else {
        user = createRemoteUser(entry.account, ['customer']);
        user.account = accounts[entry.account];
        if (entry.revoked) user.refusal = 'the token was revoked';
      }
      request.remote_user = response.locals.remote_user = user;
      next();
    };
  }

  allow_access(user, { name }, done) {
    const reason = this.refusal(user, name);
    return reason ? done(forbidden(reason)) : done(null, true);
  }

  allow_publish(user, { name }, done) {
    if (!user.refusal && user.account?.vendor) return done(null, true);
    return done(forbidden(`${user.name ?? 'anonymous'} may not publish ${name}`));
  }

  allow_unpublish(user, pkg, done) {
    this.allow_publish(user, pkg, done);
  }

  refusal(user, name) {
    if (user.refusal) return user.refusal;
    const { vendor, expires, packages } = user.account;
    if (vendor) return undefined;
    if (expires && Date.parse(expires) <= Date.now()) return `the licence of ${user.name} expired on ${expires}`;
    if (!packages.includes(name)) return `the licence of ${user.name} does not include ${name}`;
    return undefined;
  }
}

module.exports = (config, options) => new LicenceAuth(config, options);
