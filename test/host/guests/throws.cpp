// throws ROUNDS: exceptions through many frames with destructors, iostreams, thread_local objects, containers, std::sort.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Counted {
  static int alive;
  Counted() { alive++; }
  ~Counted() { alive--; }
};
int Counted::alive = 0;

thread_local std::string mine = "mine";
thread_local std::vector<int> numbers;

__attribute__((noinline)) int descend(int depth, int round) {
  Counted here;
  auto held = std::make_unique<Counted>();
  if (depth == 0) throw std::runtime_error("bottom of round " + std::to_string(round));
  return descend(depth - 1, round) + 1;
}

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 10;
  std::map<std::string, int> seen;
  for (int round = 0; round < rounds; round++) {
    while (argc > 2 && round == rounds / 2 && access(argv[2], F_OK) != 0) usleep(1000);  // GO
    try {
      descend(50, round);
      return 1;
    } catch (const std::exception& e) {
      seen[e.what()]++;
      if (e.what() != "bottom of round " + std::to_string(round)) return 2;
    }
    if (Counted::alive != 0) return 3;
    mine += std::to_string(round % 10);
    numbers.push_back(rounds - round);
    std::sort(numbers.begin(), numbers.end());
    if (mine.size() != 4u + round + 1 || numbers.size() != round + 1u) return 4;
    std::ostringstream text;
    for (int i = 0; i < 2000; i++) text << i * 0.5 << ' ';
    std::istringstream back(text.str());
    double x, sum = 0;
    while (back >> x) sum += x;
    if (sum != 999500) return 5;
    std::cout << "round " << round << ' ' << sum << std::endl;
  }
  std::cout << "done " << seen.size() << ' ' << numbers.size() << std::endl;
  return 23;
}
