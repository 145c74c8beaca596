// dmi-host: runs one job's threads on one machine. Started by a node agent; see docs/internals/host-control.md.
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <iostream>

#include "build_id.h"
#include "cpu_features.h"
#include "host.h"
#include "inspect.h"
#include "layout.h"
#include "moves.h"

#ifndef DMI_VERSION
#define DMI_VERSION "0.1.0"
#endif

namespace dmi::host {
namespace {

constexpr int kControlFd = 3;

using nlohmann::json;

JobConfig parse_job(const json& m) {
  JobConfig c;
  c.job = m.at("job").get<std::string>();
  const json& key = m.at("key");
  if (key.is_binary()) c.key.assign(key.get_binary().begin(), key.get_binary().end());
  else c.key = key.get<std::string>();
  c.member = m.at("member").get<int>();
  c.node = m.value("node", std::string("node"));
  c.lite = m.value("lite", false);
  c.input = m.value("input", false);
  c.bind = m.value("bind", std::string("127.0.0.1"));
  c.program = m.at("program").get<std::string>();
  c.hash = m.value("hash", std::string{});
  for (const json& f : m.value("files", json::array()))
    c.files.push_back({f.at("path").get<std::string>(), f.at("real").get<std::string>(), f.value("hash", std::string{})});
  c.argv = m.at("argv").get<std::vector<std::string>>();
  c.env = m.value("env", std::vector<std::string>{});
  c.cwd = m.value("cwd", std::string{});
  c.pool = m.value("pool", c.pool);
  c.workers = m.value("workers", 1);
  c.thread_memory = m.value("threadMemory", c.thread_memory);
  c.peer_timeout = m.value("peerTimeout", c.peer_timeout);
  if (m.contains("zone") && m["zone"].is_array())
    c.zone = {m["zone"].at(0).get<uint64_t>(), m["zone"].at(1).get<uint64_t>()};
  return c;
}

void begin(const json& m) {
  Host& host = Host::get();
  host.begin(parse_job(m));
  host.control().send({{"t", "hello"}, {"version", DMI_VERSION}, {"build", host.build()}, {"wire", 1}, {"pid", getpid()},
                       {"port", host.member().port()}, {"features", *machine_features()}});
}

void start(const json& m) {
  StartRequest r;
  r.role = DMI_ROLE_MAIN;
  r.rank = m.value("rank", 0);
  r.count = m.value("count", 1);
  r.main = true;
  const int threads = m.value("threads", r.count);
  r.extra_env = {"DMI_RANK=" + std::to_string(r.rank), "DMI_SIZE=" + std::to_string(r.count), "DMI_THREADS=" + std::to_string(threads)};
  Host::get().start_guest(r);
}

void give_input(const json& m) {
  const auto& data = m.at("data").get_binary();
  Host::get().give_input(parse_thread(m.at("thread").get<std::string>()), m.at("offset").get<uint64_t>(), {data.begin(), data.end()},
                         m.at("end").get<bool>());
}

// Answered by a report about nothing else. Pausing and naming take their time: in a helper.
void tell_stack(const json& m) {
  run_in_helper([query = m.value("query", json()), name = m["stack"].get<std::string>()] {
    Host& host = Host::get();
    json answer = {{"thread", name}, {"text", nullptr}, {"why", nullptr}};
    try {
      const auto g = host.find(parse_thread(name));
      if (!g) throw Error("gone", "it is not on this host (it has ended, or moved)");
      answer["text"] = stack_of(*g);
    } catch (const Error& e) {
      answer["why"] = e.what();
    }
    host.control().send({{"t", "report"}, {"query", query}, {"threads", json::array()}, {"stack", answer}});
  });
}

void dispatch(const json& m) {
  Host& host = Host::get();
  const auto t = m["t"].get<std::string>();
  try {
    static bool begun = false;
    if (t == "job" && begun) throw Error("control", "this host has its job already");
    if (t != "job" && t != "stop" && !begun) {
      host.control().log(40, "control message '" + t + "' came before the job and was skipped");
      return;
    }
    if (t == "job") begin(m), begun = true;
    else if (t == "view") host.apply_view(m);
    else if (t == "start") start(m);
    else if (t == "move") host.moves().command(m.at("move").get<std::string>(), parse_thread(m.at("thread").get<std::string>()), m.at("to").get<int>());
    else if (t == "input") give_input(m);
    else if (t == "drain") host.departure().ask();
    else if (t == "query" && m.contains("stack") && m["stack"].is_string()) tell_stack(m);
    else if (t == "query") {
      json r = host.report();
      r["t"] = "report";
      r["query"] = m.value("query", json());
      host.control().send(r);
    } else if (t == "stop") {
      host.control().flush(5);
      _exit(0);
    } else {
      host.control().log(40, "unknown control message '" + t + "' skipped");
    }
  } catch (const Error& e) {
    if ((t == "job" && e.code != "control") || t == "start") host.fatal(e.what());
    host.control().log(50, t + ": " + e.what());
  } catch (const std::exception& e) {
    const std::string why = "control message '" + t + "': " + e.what();
    if (t == "job" || t == "start" || t == "view") host.fatal(why);
    host.control().log(50, why);
  }
}

// Threads of jobs take all the processors there are; agents and a coordinator on the same machine must get theirs, or nodes cannot
// join and drains not begin. This much nicer than the agent.
constexpr int kNicer = 5;

void be_nice() {
  setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + kNicer);
  // Where the kernel shares out processors by session first (autogroup), this is what counts: a host has a session of its own.
  const int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  const std::string nice = std::to_string(kNicer);
  [[maybe_unused]] const ssize_t n = write(fd, nice.data(), nice.size());  // may be refused: then it stays as it was
  close(fd);
}

int run() {
  signal(SIGINT, SIG_IGN);   // Ctrl-C in a terminal is for the agent, which drains first
  signal(SIGPIPE, SIG_IGN);
  be_nice();
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  if (fcntl(kControlFd, F_GETFD) < 0) {
    std::cerr << "dmi-host is started by a node agent (`dmi agent`), with its control channel as descriptor 3. To run a program: dmi run PROGRAM\n";
    return 2;
  }
  fcntl(kControlFd, F_SETFD, FD_CLOEXEC);
  Host& host = Host::get();
  host.control().start(kControlFd);
  try {
    host.control().read(dispatch);
  } catch (const Error& e) {
    std::cerr << "dmi-host: " << e.what() << "\n";
    return 1;
  }
  return 0;  // the agent is gone, and with it whoever could stop this job
}

}  // namespace
}  // namespace dmi::host

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "--version") == 0) {
    std::cout << "{\"version\":\"" DMI_VERSION "\",\"build\":\"" << dmi::host::own_build_id() << "\",\"wire\":1,\"gate\":" << DMI_GATE_VERSION << "}\n";
    return 0;
  }
  const int status = dmi::host::run();
  _exit(status);  // workers and movers are not waited for
}
