// What signals mean to a thread, without frames: what is pending, in which order it is taken, and that all of it moves.
#include "host/guest_signals.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <string.h>

namespace dmi::host {
namespace {

struct Signals : testing::Test {
  GuestSignals s;
  void handle(int signal, uint64_t flags = 0, SignalSet mask = 0) { s.set_action(signal, {0x1000, flags, 0x2000, mask}); }
  bool raise(int signal, int value = 0) {
    siginfo_t i{};
    i.si_signo = signal;
    i.si_value.sival_int = value;
    return s.raise(i);
  }
};

TEST_F(Signals, ArePendingOnceButRealTimeOnesEachTime) {
  s.mask = ~0ull & ~kNeverBlocked;
  for (int i = 0; i < 3; i++) {
    EXPECT_TRUE(raise(SIGUSR1, i));
    EXPECT_TRUE(raise(40, i));
  }
  EXPECT_EQ(s.pending(), bit(SIGUSR1) | bit(40));
  EXPECT_EQ(s.deliverable(), 0);
  EXPECT_EQ(s.take(SIGUSR1).si_value.sival_int, 0) << "the first is kept";
  EXPECT_EQ(s.pending(), bit(40));
  for (int i = 0; i < 3; i++) EXPECT_EQ(s.take(40).si_value.sival_int, i);
  EXPECT_EQ(s.pending(), 0u);
}

TEST_F(Signals, TooManyArePendingSomeTime) {
  s.mask = bit(40);
  int taken = 0;
  while (taken < 100'000 && raise(40)) taken++;
  EXPECT_GT(taken, 100);
  EXPECT_LT(taken, 100'000);
}

TEST_F(Signals, AreTakenInOrderWithFaultsFirst) {
  s.mask = ~0ull;
  for (int signal : {SIGUSR2, 50, SIGUSR1, SIGFPE}) handle(signal), raise(signal);
  s.mask = 0;
  for (int signal : {SIGFPE, SIGUSR1, SIGUSR2, 50}) {
    EXPECT_EQ(s.next(), signal);
    s.take(signal);
  }
  EXPECT_EQ(s.next(), 0);
}

TEST_F(Signals, ThatMeanNothingAreForgottenUnlessTheyAreBlocked) {
  EXPECT_TRUE(raise(SIGCHLD));
  EXPECT_EQ(s.pending(), 0u);
  s.mask = bit(SIGCHLD) | bit(SIGUSR1);
  raise(SIGCHLD), raise(SIGUSR1);
  EXPECT_EQ(s.pending(), bit(SIGCHLD) | bit(SIGUSR1));
  s.set_action(SIGUSR1, {reinterpret_cast<uint64_t>(SIG_IGN), 0, 0, 0});
  EXPECT_EQ(s.pending(), bit(SIGCHLD)) << "ignored from now on";
  s.mask = 0;
  EXPECT_EQ(s.next(), 0);
  EXPECT_EQ(s.pending(), 0u);
}

TEST_F(Signals, AHandlerBlocksWhatItsActionSaysAndGivesTheMaskBack) {
  s.mask = bit(SIGTERM);
  handle(SIGUSR1, 0, bit(SIGUSR2) | bit(SIGKILL));
  EXPECT_EQ(s.begin(SIGUSR1), bit(SIGTERM));
  EXPECT_EQ(s.mask, bit(SIGTERM) | bit(SIGUSR1) | bit(SIGUSR2));
  s.mask = 0;
  handle(SIGUSR1, SA_NODEFER | static_cast<uint32_t>(SA_RESETHAND));
  s.begin(SIGUSR1);
  EXPECT_EQ(s.mask, 0u);
  EXPECT_FALSE(s.has_handler(SIGUSR1));
  handle(SIGUSR2);
  s.mask = bit(SIGUSR2);
  s.suspend(0);
  EXPECT_EQ(s.begin(SIGUSR2), bit(SIGUSR2)) << "what was blocked before the wait";
}

TEST_F(Signals, AnAlternateStackIsCheckedAsTheKernelDoes) {
  EXPECT_EQ(s.set_stack({0x10000, 0, 100}, 0x5000, 2048), ENOMEM);
  EXPECT_EQ(s.set_stack({0x10000, 64, 8192}, 0x5000, 2048), EINVAL);
  EXPECT_EQ(s.set_stack({0x10000, 0, 8192}, 0x5000, 2048), 0);
  EXPECT_TRUE(s.on_stack(0x10000 + 8192));
  EXPECT_FALSE(s.on_stack(0x10000));
  EXPECT_EQ(s.set_stack({0, SS_DISABLE, 0}, 0x11000, 2048), EPERM) << "in use";
  EXPECT_EQ(s.stack_at(0x11000).flags, SS_ONSTACK);
  EXPECT_EQ(s.stack_at(0x5000).flags, 0);
  EXPECT_EQ(s.set_stack({0, SS_DISABLE, 0}, 0x5000, 2048), 0);
  EXPECT_EQ(s.stack_at(0x5000).flags, SS_DISABLE);
}

TEST_F(Signals, MoveWithAllThatIsKnownOfThem) {
  handle(SIGUSR1, SA_SIGINFO | SA_ONSTACK, bit(SIGTERM));
  s.mask = bit(40) | bit(SIGUSR2);
  raise(40, 7), raise(40, 8), raise(SIGUSR2);
  s.set_stack({0x10000, 0, 8192}, 0x5000, 2048);
  s.resume_pc = 0x1234;
  Writer w;
  s.save(w);
  GuestSignals there;
  Reader r(w.view());
  there.load(r);
  EXPECT_TRUE(r.ok());
  EXPECT_EQ(r.left(), 0u);
  EXPECT_EQ(there.mask, s.mask);
  EXPECT_EQ(there.resume_pc, 0x1234u);
  EXPECT_EQ(there.action(SIGUSR1).handler, 0x1000u);
  EXPECT_EQ(there.action(SIGUSR1).flags, static_cast<uint64_t>(SA_SIGINFO | SA_ONSTACK));
  EXPECT_EQ(there.action(SIGUSR1).mask, bit(SIGTERM));
  EXPECT_EQ(there.take(40).si_value.sival_int, 7);
  EXPECT_EQ(there.take(40).si_value.sival_int, 8);
  EXPECT_EQ(there.pending(), bit(SIGUSR2));
  EXPECT_TRUE(there.on_stack(0x11000));
  for (size_t cut = 0; cut < w.size(); cut++) {
    GuestSignals part;
    Reader less(w.view().first(cut));
    part.load(less);
    EXPECT_FALSE(less.ok()) << cut;
  }
}

}  // namespace
}  // namespace dmi::host
