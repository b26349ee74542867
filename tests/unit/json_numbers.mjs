// What ECMAScript prints for doubles, as a header for test_json_write.c.
//
//   node json_numbers.mjs > json_numbers.h         makes it
//   node json_numbers.mjs --check json_numbers.h   exits 1 when it is not what this would make
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

const view = new DataView(new ArrayBuffer(8));
const MASK = (1n << 64n) - 1n;

function fromBits(bits) {
  view.setBigUint64(0, bits & MASK);
  return view.getFloat64(0);
}

function toBits(d) {
  view.setFloat64(0, d);
  return view.getBigUint64(0);
}

// protocol/base/prng.h
function* splitmix(seed) {
  let state = seed;
  for (;;) {
    state = (state + 0x9e3779b97f4a7c15n) & MASK;
    let z = state;
    z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
    z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
    yield z ^ (z >> 31n);
  }
}

// The families of doubles; test_json_write.c makes the same ones.
const FAMILIES = {
  ANY(r) { return fromBits(r); },
  NEAR_ONE(r) { return fromBits((r & ~(0x7ffn << 52n)) | ((993n + ((r >> 52n) & 63n)) << 52n)); },
  SUBNORMAL(r) { return fromBits((r & ~(0x7ffn << 52n)) >> (r >> 58n)); },
  SHORT(r) { return Number(r & 0xfffffn) / 10 ** Number((r >> 20n) % 12n); },
};
const GROUP_COUNT = 24;
const GROUP_SIZE = 2000;

function digest(numbers) {
  const hash = createHash('sha256');
  for (const d of numbers) {
    hash.update(String(d) + '\n');
  }
  return hash.digest('hex').slice(0, 32);
}

function group(family, seed) {
  const numbers = [];
  const random = splitmix(BigInt(seed));
  while (numbers.length < GROUP_SIZE) {
    const d = FAMILIES[family](random.next().value);
    if (Number.isFinite(d)) {
      numbers.push(d);
    }
  }
  return digest(numbers);
}

// Every power of two with the doubles around it.
function powersOfTwo() {
  const numbers = [];
  for (let e = -1074; e <= 1023; e++) {
    const bits = toBits(2 ** e);
    numbers.push(fromBits(bits - 1n), fromBits(bits), fromBits(bits + 1n));
  }
  return digest(numbers);
}

// Every power of ten with the doubles around it, and the edges of the forms of printing.
function* singles() {
  for (let e = -323; e <= 308; e++) {
    const bits = toBits(Number('1e' + e));
    if (e < -300 || e > 300 || (e >= -10 && e <= 25) || e % 16 === 0) {
      yield* [bits - 1n, bits, bits + 1n];
    }
  }
  for (const d of [2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, 1 / 3, 2 / 3, 0.1 + 0.2, 123456789012345680000,
    1.5e-6, 1.5e-7, 999999999999999900000, 5e-324, 1.7976931348623157e308, 2.2250738585072014e-308,
    2.225073858507201e-308, 9.5367431640625e-7, 4.35, 0.000035, 1e5, 12.5]) {
    yield toBits(d);
    yield toBits(-d);
  }
}

const lines = ['/* Made by json_numbers.mjs from what ECMAScript prints.  Do not edit. */',
  '#ifndef CFC_TESTS_JSON_NUMBERS_H', '#define CFC_TESTS_JSON_NUMBERS_H', '',
  '#include <stdint.h>', '', `#define JSON_NUMBERS_GROUP_SIZE ${GROUP_SIZE}`, '',
  'enum family {', ...Object.keys(FAMILIES).map((name) => `    ${name},`), '};', '',
  'static const struct {', '    uint64_t bits;', '    const char *text;',
  '} json_numbers[] = {'];
for (const bits of singles()) {
  lines.push(`    {0x${bits.toString(16).padStart(16, '0')}, "${fromBits(bits)}"},`);
}
lines.push('};', '', 'static const struct {', '    enum family family;', '    uint64_t seed;',
  '    const char *digest;', '} json_number_groups[] = {');
for (let i = 0; i < GROUP_COUNT; i++) {
  const family = Object.keys(FAMILIES)[i % 4];
  lines.push(`    {${family}, ${i + 1}, "${group(family, i + 1)}"},`);
}
lines.push('};', '', `static const char json_powers_of_two[] = "${powersOfTwo()}";`, '', '#endif', '');

const text = lines.join('\n');
if (process.argv[2] === '--check') {
  // Spacing is clang-format's business.
  const plain = (s) => s.replace(/\s+/g, ' ').trim();
  if (plain(readFileSync(process.argv[3], 'utf8')) !== plain(text)) {
    console.error(`${process.argv[3]} is not what ECMAScript prints`);
    process.exit(1);
  }
} else {
  process.stdout.write(text);
}
