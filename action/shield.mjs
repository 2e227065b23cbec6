// SPDX-License-Identifier: 0BSD
// Shield: messages that Zekt cannot read. The envelopes' form: docs/reference/shield.md.
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { Failure } from './runner.mjs';

const TYPE = 'zekt-shield-envelope';
const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
const OAEP_OF_NODE_RSA = { ...OAEP, oaepHash: 'sha1' };
const CIPHER = 'aes-256-gcm';
const [IV, TAG, KEY] = [12, 16, 32];
const FEWEST_BITS = 2048;

/** Encrypt bytes for each of these keys, `{consumerId, publicKey}`; gives an envelope, version 2.0. */
export function seal(clear, keys) {
  const [key, iv] = [randomBytes(KEY), randomBytes(IV)];
  const cipher = createCipheriv(CIPHER, key, iv);
  const text = Buffer.concat([cipher.update(clear), cipher.final()]);
  return {
    type: TYPE,
    version: '2.0',
    algorithm: 'RSA-OAEP-256+A256GCM',
    encryptedData: Buffer.concat([iv, cipher.getAuthTag(), text]).toString('base64'),
    recipients: keys.map(({ consumerId, publicKey }) => ({
      consumerId,
      encryptedKey: publicEncrypt({ key: publicOf(publicKey), ...OAEP }, key).toString('base64'),
    })),
  };
}

/** A public key's fingerprint: the SHA-256 of its DER, as `openssl` and Zekt show it. */
export function fingerprint(pem) {
  return createHash('sha256').update(publicOf(pem).export({ type: 'spki', format: 'der' })).digest('hex');
}

export function isEnvelope(message) {
  return typeof message === 'object' && message?.type === TYPE;
}

/** What an envelope says to the holder of this key: bytes. */
export function open(envelope, pem) {
  const opened = FORMS[[envelope.version, envelope.algorithm]];
  if (!opened) {
    throw new Failure(
      `The message is encrypted in form ${JSON.stringify(envelope.version)}, which this Action does not know: ` +
        'take its newest version in `uses:`.',
    );
  }
  const key = privateOf(pem);
  for (const recipient of Object.values(Object(envelope.recipients))) {
    try {
      return opened(envelope, recipient, key);
    } catch {
      // Another consumer's part, or another key of this one.
    }
  }
  throw new Failure(
    'The message was not encrypted for this private-key, or was changed since. Compare the fingerprint of its ' +
      'public half with `zekt shield keys list`, register it if it is not there, and have the event sent again.',
  );
}

/** By version and algorithm: the clear bytes, if this recipient's part opens with the key. */
const FORMS = {
  '1.0,RSA-OAEP': (_, recipient, key) => decrypted(recipient.encryptedPayload, key),
  '1.0,': ({ encryptedData }, { encryptedKey }, key) =>
    deciphered(decrypted(encryptedKey, key, OAEP_OF_NODE_RSA), split(encryptedData, 16)),
  ',': (envelope, recipient, key) => {
    const [iv, tag, text] = ['iv', 'authTag', 'ciphertext'].map((name) => Buffer.from(envelope[name], 'base64'));
    return deciphered(decrypted(recipient, key), { iv, tag, text });
  },
  '2.0,RSA-OAEP-256+A256GCM': ({ encryptedData }, { encryptedKey }, key) =>
    deciphered(decrypted(encryptedKey, key), split(encryptedData, IV)),
};

function decrypted(text, key, oaep = OAEP) {
  return privateDecrypt({ key, ...oaep }, Buffer.from(text, 'base64'));
}

function deciphered(secret, { iv, tag, text }) {
  const decipher = createDecipheriv(CIPHER, secret, iv, { authTagLength: TAG });
  decipher.setAuthTag(tag);
  return Buffer.concat([decipher.update(text), decipher.final()]);
}

function split(text, size) {
  const data = Buffer.from(text, 'base64');
  return { iv: data.subarray(0, size), tag: data.subarray(size, size + TAG), text: data.subarray(size + TAG) };
}

function publicOf(pem) {
  let key;
  try {
    key = createPublicKey(pem);
  } catch {
    throw new Failure('Zekt gave a public key that cannot be read: tell who runs the server.');
  }
  if (key.asymmetricKeyType !== 'rsa' || key.asymmetricKeyDetails.modulusLength < FEWEST_BITS) {
    throw new Failure('Zekt gave a public key that is too weak: tell who runs the server.');
  }
  return key;
}

function privateOf(pem) {
  let key;
  try {
    key = createPrivateKey(pem);
  } catch {
    throw new Failure(
      'The input private-key is no private key in PEM, or has a passphrase. Take that off with ' +
        '`openssl pkey -in KEY`, and store all lines as one secret, from -----BEGIN to END … KEY-----.',
    );
  }
  if (key.asymmetricKeyType !== 'rsa') throw new Failure('The input private-key is not an RSA key.');
  return key;
}
