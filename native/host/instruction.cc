#include "instruction.h"

#include <string_view>

namespace dmi::host {
namespace {

// What follows an opcode, a letter each, sixteen to a row:
//   .  nothing       m  ModRM          b  1 byte        w  2 bytes       e  3 bytes (ENTER)
//   z  2 or 4 bytes  v  2, 4 or 8      a  an address    M  ModRM, 1      Z  ModRM, 2 or 4
//   g, G  ModRM, and for TEST an immediate of 1, or 2 or 4    r  4 bytes whatever the prefix   x  not an instruction
constexpr std::string_view kOneByte =
    "mmmmbzxxmmmmbzxx"  // 00; 0f is the escape
    "mmmmbzxxmmmmbzxx"
    "mmmmbzxxmmmmbzxx"  // 20; 26, 2e, 36, 3e are prefixes
    "mmmmbzxxmmmmbzxx"
    "................"  // 40: REX, read before
    "................"
    "xxxmxxxxzZbM...."  // 60
    "bbbbbbbbbbbbbbbb"
    "MZxMmmmmmmmmmmmm"  // 80
    "..........x....."
    "aaaa....bz......"  // a0
    "bbbbbbbbvvvvvvvv"
    "MMw.xxMZe.w..bx."  // c0
    "mmmmxxx.mmmmmmmm"
    "bbbbbbbbrrxb...."  // e0
    "x.xx..gG......mm";
constexpr std::string_view kTwoByte =  // after 0f
    "mmmmx.....x.xmxx"  // 00
    "mmmmmmmmmmmmmmmm"
    "mmmmxxxxmmmmmmmm"  // 20
    "......x.xxxxxxxx"  // 30; 38 and 3a are escapes
    "mmmmmmmmmmmmmmmm"
    "mmmmmmmmmmmmmmmm"
    "mmmmmmmmmmmmmmmm"  // 60
    "MMMMmmm.mmmmmmmm"
    "rrrrrrrrrrrrrrrr"  // 80
    "mmmmmmmmmmmmmmmm"
    "...mMmxx...mMmmm"  // a0
    "mmmmmmmmmmMmmmmm"
    "mmMmMMMm........"  // c0
    "mmmmmmmmmmmmmmmm"
    "mmmmmmmmmmmmmmmm"
    "mmmmmmmmmmmmmmmm";
static_assert(kOneByte.size() == 256 && kTwoByte.size() == 256);

struct Reader {
  const uint8_t* code;
  size_t room;
  size_t at = 0;
  bool bad = false;
  uint8_t byte() {
    if (at >= room) return bad = true, 0;
    return code[at++];
  }
  void skip(size_t n) { at += n; }
};

// ModRM, SIB and displacement. Gives ModRM's middle field.
int mod_rm(Reader& r) {
  const uint8_t m = r.byte();
  const int mod = m >> 6, rm = m & 7;
  if (mod == 3) return m >> 3 & 7;
  int displacement = mod == 1 ? 1 : mod == 2 ? 4 : 0;
  if (rm == 4) {
    if ((r.byte() & 7) == 5 && mod == 0) displacement = 4;
  } else if (rm == 5 && mod == 0) {
    displacement = 4;
  }
  r.skip(static_cast<size_t>(displacement));
  return m >> 3 & 7;
}

void operands(Reader& r, char what, bool short_operand, bool wide, bool short_address) {
  const size_t z = short_operand && !wide ? 2 : 4;
  switch (what) {
    case '.': break;
    case 'm': mod_rm(r); break;
    case 'b': r.skip(1); break;
    case 'w': r.skip(2); break;
    case 'e': r.skip(3); break;
    case 'z': r.skip(z); break;
    case 'r': r.skip(4); break;
    case 'v': r.skip(wide ? 8 : z); break;
    case 'a': r.skip(short_address ? 4 : 8); break;
    case 'M': mod_rm(r), r.skip(1); break;
    case 'Z': mod_rm(r), r.skip(z); break;
    case 'g': if (mod_rm(r) < 2) r.skip(1); break;
    case 'G': if (mod_rm(r) < 2) r.skip(z); break;
    default: r.bad = true;
  }
}

// After a VEX or EVEX prefix: `map` 1 is 0f, 2 is 0f 38, 3 is 0f 3a; 5 and 6 are AVX512-FP16's.
void vector(Reader& r, int map) {
  const uint8_t op = r.byte();
  if (map == 1 && op == 0x77) return;  // vzeroupper
  if (map < 1 || map > 6 || map == 4) {
    r.bad = true;
    return;
  }
  mod_rm(r);
  if (map == 3 || (map == 1 && kTwoByte[op] == 'M')) r.skip(1);
}

}  // namespace

int instruction_length(const uint8_t* code, size_t room) {
  Reader r{code, room < 15 ? room : 15};
  bool short_operand = false, short_address = false, wide = false;
  uint8_t op = r.byte();
  for (;; op = r.byte()) {
    if (op == 0x66) short_operand = true;
    else if (op == 0x67) short_address = true;
    else if (op != 0xf0 && op != 0xf2 && op != 0xf3 && op != 0x2e && op != 0x36 && op != 0x3e && op != 0x26 && op != 0x64 && op != 0x65) break;
    if (r.bad) return 0;
  }
  if ((op & 0xf0) == 0x40) {
    wide = op & 8;
    op = r.byte();
  }
  if (op == 0xc5) {
    r.skip(1);
    vector(r, 1);
  } else if (op == 0xc4) {
    const int map = r.byte() & 31;
    r.skip(1);
    vector(r, map);
  } else if (op == 0x62) {
    const int map = r.byte() & 7;
    r.skip(2);
    vector(r, map);
  } else if (op != 0x0f) {
    operands(r, kOneByte[op], short_operand, wide, short_address);
  } else if (op = r.byte(); op == 0x38) {
    r.byte();
    mod_rm(r);
  } else if (op == 0x3a) {
    r.byte();
    mod_rm(r);
    r.skip(1);
  } else {
    operands(r, kTwoByte[op], short_operand, wide, short_address);
  }
  return r.bad || r.at > r.room ? 0 : static_cast<int>(r.at);
}

}  // namespace dmi::host
