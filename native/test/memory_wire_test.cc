// The wire format, pinned byte by byte: hosts of different builds may meet, and a change that is not meant must show here.
// After a change that is meant, raise the wire version (transport/wire.h) and put the printed bytes into wire_golden.txt.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "memory/core/pack.h"

namespace dmi::memory {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string s;
  for (auto b : bytes) {
    const auto v = static_cast<unsigned>(b);
    s += "0123456789abcdef"[v >> 4];
    s += "0123456789abcdef"[v & 15];
  }
  return s;
}

// Every message with a different value in every field.
template <class F> void each_message(F&& f) {
  f("PageReq", PageReq{1, 2, 0x0304, OpKind::Function, Mode::Exclusive, PageReq::kViaHome, -7, 8, 9, 4096, 11, {{1, 0x20000000003, 4, 5}, {6, 7, 8, 9}}});
  f("PageAns", PageAns{0x0102030405060708, 3, {{4, 14, 6, 7}, {8, 0, 10, 11}}});
  f("Acquire", Acquire{1, -1, 0x20000000003});
  f("Transfer", Transfer{0x20000000003, 4});
  f("PageMove", PageMove{0x20000000003, 5, 4096, 6, {{7, true, 8}, {9, false, 10}}});
  f("Owned", Owned{1, 0x20000000003});
  f("Granted", Granted{0x20000000003, Granted::Refused, 4096, 5});
  f("Invalidate", Invalidate{0x20000000003, 4});
  f("Stage", Stage{0x20000000003, 4, 5, true});
  f("Ack", Ack{0x20000000003, 4, true});
  f("Commit", Commit{0x20000000003, 4});
  f("MapReq", MapReq{MapReq::Lookup, 2, 3, 4, 5, 6, 7});
  f("MapAns", MapAns{MapReq::Unmap, 2, 3, 22, 5, 6, "no"});
  f("Unmap", Unmap{7});
  f("UnmapAck", UnmapAck{1, 7});
  f("SyncReq", SyncReq{23, 22, true, 4, 5, 6, 7, 8, 9, 10, -11, 12, 13, ReduceOp::Prod, ReduceType::Float});
  f("SyncAns", SyncAns{SyncAns::Parked, 2, 3, -4, {5, 6}});
  f("ShardState", ShardState{1023, true});
  f("DrainNotice", DrainNotice{9});
  f("DrainReady", DrainReady{9});
  f("Offer", Offer{true, 4096, {0x20000000003, 4}});
  f("OfferAns", OfferAns{{0x20000000003}});
  f("Pack", Pack{2, 3});
  f("PackAns", PackAns{3});
}

// Items of each shape: everything named, nothing named, an index out of the order, another operation, another page.
const PackItem kItems[] = {{7, 0x20000000003, 0, 8, 8, OpKind::Read}, {7, 0x20000000003, 1, 16, 8, OpKind::Read}, {7, 0x20000000004, 5, 0, 3, OpKind::Read},
                           {9, 0x20000000004, 0, 24, 8, OpKind::Write}, {10, 0x20000000004, 0, 32, 4, OpKind::Cas}, {11, 0x20000000004, 0, 32, 8, OpKind::Fad},
                           {11, 0x20000000004, 2, 40, 2, OpKind::Fas}};
const PackedAnswer kAnswers[] = {{7, 0, 0, 8}, {7, 1, 0, 8}, {7, 5, 14, 0}, {9, 0, 0, 0}, {11, 2, 0, 2}};

template <class Head, class Items> std::vector<std::byte> packed(const Items& items) {
  Packing pack;
  pack.begin(encoded_size(Head{}));
  uint8_t next = 1;
  for (auto& item : items) {
    size_t size;
    if constexpr (std::is_same_v<Head, Pack>) size = item.data_size();
    else size = item.len;
    auto* data = pack.add(item);
    for (size_t i = 0; i < size; i++) data[i] = std::byte{next++};
  }
  Head head;
  if constexpr (std::is_same_v<Head, Pack>) head.since = 2;
  head.count = pack.count();
  encode_to(Placing{pack.head()}, head, 0x1122334455667788, kInline);
  return pack.copy();
}

std::map<std::string, std::string> golden() {
  std::map<std::string, std::string> all;
  std::ifstream file(DMI_TEST_DIRECTORY "/wire_golden.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, bytes;
    if (words >> name >> bytes && name[0] != '#') all[name] = bytes;
  }
  return all;
}

TEST(Wire, EveryMessageHasTheBytesItAlwaysHad) {
  const auto expected = golden();
  size_t n = 0;
  each_message([&](const char* name, const auto& m) {
    n++;
    const auto bytes = hex(encode(m, 0x1122334455667788, kInline));
    const auto at = expected.find(name);
    EXPECT_TRUE(at != expected.end() && at->second == bytes) << name << " " << bytes;
  });
  for (const auto& [name, bytes] : {std::pair{"PackWithItems", hex(packed<Pack>(kItems))}, {"PackAnsWithItems", hex(packed<PackAns>(kAnswers))}}) {
    n++;
    const auto at = expected.find(name);
    EXPECT_TRUE(at != expected.end() && at->second == bytes) << name << " " << bytes;
  }
  EXPECT_EQ(n, expected.size());
}

template <class Head, class Item, class Items> void unpack(const Items& items) {
  const auto bytes = packed<Head>(items);
  Head head;
  std::span<const std::byte> data, mine;
  ASSERT_TRUE(decode(bytes, {}, head, data));
  ASSERT_TRUE(sound<Item>(data, head.count));
  Unpacking in(data);
  uint8_t next = 1;
  for (auto& expected : items) {
    Item item;
    ASSERT_TRUE(in.next(item, mine));
    EXPECT_EQ(item.op, expected.op);
    EXPECT_EQ(item.index, expected.index);
    EXPECT_EQ(item.len, expected.len);
    if constexpr (std::is_same_v<Item, PackItem>) {
      EXPECT_EQ(item.key, expected.key);
      EXPECT_EQ(item.off, expected.off);
      EXPECT_EQ(item.kind, expected.kind);
    } else {
      EXPECT_EQ(item.error, expected.error);
    }
    for (auto b : mine) EXPECT_EQ(b, std::byte{next++});
  }
  EXPECT_TRUE(in.at_end());
  for (size_t n = 0; n < data.size(); n++) EXPECT_FALSE(sound<Item>(data.first(n), head.count)) << "cut to " << n;
  EXPECT_FALSE(sound<Item>(data, head.count - 1));
  EXPECT_FALSE(sound<Item>(data, head.count + 1));
  auto nameless = std::vector(data.begin(), data.end());
  nameless[0] &= ~std::byte{kItemOp};
  EXPECT_FALSE(sound<Item>(nameless, head.count));
}

TEST(Wire, ItemsOfPacksAreReadAsTheyWereWrittenAndRefusedWhenTheyAreCutShort) {
  unpack<Pack, PackItem>(kItems);
  unpack<PackAns, PackedAnswer>(kAnswers);
}

TEST(Wire, WhatIsReadIsWhatWasWritten) {
  each_message([](const char* name, const auto& m) {
    const auto bytes = encode(m, 7, kInline);
    std::remove_cvref_t<decltype(m)> read;
    std::span<const std::byte> data;
    ASSERT_TRUE(decode(bytes, {}, read, data)) << name;
    EXPECT_TRUE(data.empty());
    EXPECT_EQ(hex(encode(read, 7, kInline)), hex(bytes)) << name;
  });
}

TEST(Wire, AMessageThatIsCutShortIsRefused) {
  each_message([](const char* name, const auto& m) {
    const auto bytes = encode(m, 7);
    std::remove_cvref_t<decltype(m)> read;
    std::span<const std::byte> data;
    for (size_t n = 0; n < bytes.size(); n++) EXPECT_FALSE(decode(std::span(bytes).first(n), {}, read, data)) << name << " cut to " << n;
    auto more = bytes;
    more.push_back({});
    EXPECT_FALSE(decode(more, {}, read, data)) << name << " with a byte too many";
  });
}

}  // namespace
}  // namespace dmi::memory
