// DMI_function: the resident instance of the program that runs them, and how a call reaches it.
#include <errno.h>
#include <string.h>

#include <algorithm>

#include "host.h"
#include "moves.h"
#include "platform.h"

namespace dmi::host {

void Host::run_function(memory::FunctionCall* call) {
  Guest* idle = nullptr;
  {
    std::lock_guard hold(function_mutex_);
    function_calls_.push_back(call);
    if (function_guest_ && !function_running_) {
      idle = function_guest_;
      function_guest_ = nullptr;
    } else if (function_starting_) {
      return;
    }
    if (!idle) function_starting_ = true;
  }
  if (idle) {
    auto* a = static_cast<dmi_gate_function*>(idle->reply_to);
    // The resident instance is at rest in DMI_G_SERVE: it takes the call as if it had just asked.
    serve_next(*a);
    wake(*idle, 0);
    return;
  }
  run_in_helper([this] {
    StartRequest r;
    r.role = DMI_ROLE_FUNCTION;
    try {
      start_guest(r);
    } catch (const Error& e) {
      fatal(std::string("cannot start the instance that runs DMI_function: ") + e.what());
    }
  });
}

bool Host::serve_next(dmi_gate_function& a) {
  std::lock_guard hold(function_mutex_);
  if (function_calls_.empty()) return false;
  memory::FunctionCall* call = function_calls_.front();
  function_calls_.pop_front();
  function_running_ = call;
  a.token = reinterpret_cast<uint64_t>(call);
  a.page_ptr = call->page;
  a.size = call->size;
  a.out_ptr = const_cast<std::byte*>(call->in);  // named from the caller's side in DMI_function
  a.out_size = call->in_size;
  a.in_ptr = call->out;
  a.in_size = call->out_size;
  a.tag = call->tag;
  a.status = 0;
  return true;
}

Next Host::serve_function(Guest& g, dmi_gate_function* a) {
  g.context.result = 0;
  if (g.role != DMI_ROLE_FUNCTION) {
    g.context.result = fail(g, EPERM, "only the instance that serves DMI_function may ask for calls");
    return Next::Continue;
  }
  memory::FunctionCall* finished = nullptr;
  {
    std::lock_guard hold(function_mutex_);
    finished = function_running_;
    function_running_ = nullptr;
  }
  if (finished) {
    finished->error = a->status;
    member_->function_done(finished);
  }
  if (serve_next(*a)) return Next::Continue;
  g.reply_to = a;
  g.lock.lock();
  g.submitting = true;
  g.completed = false;
  g.lock.unlock();
  bool got = false;
  {
    std::lock_guard hold(function_mutex_);
    got = !function_calls_.empty();
    if (!got) function_guest_ = &g;
  }
  if (got) {
    g.lock.lock();
    g.submitting = false;
    g.lock.unlock();
    serve_next(*a);
    return Next::Continue;
  }
  return block(g);
}

}  // namespace dmi::host
