// Runs a fuzz target without a fuzzer: smoke_main CORPUS_DIR MUTATIONS. The mutations come from a
// generator with a fixed seed. When the target dies, the input is written to standard error.
#include <unistd.h>
#include <csignal>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "test/fuzz/fuzz_target.h"

namespace {

// What the target is given now, for the handler below. Set before each call.
std::string& Current() {
  static std::string& current = *new std::string;
  return current;
}

extern "C" void ReportInput(int signal) {
  const std::string& input = Current();
  constexpr char kIntro[] = "\nthe target died of this input:\n";
  // The result cannot matter here; the compiler wants it to be looked at.
  if (write(STDERR_FILENO, kIntro, sizeof(kIntro) - 1) < 0 ||
      write(STDERR_FILENO, input.data(), input.size()) < 0)
    _exit(2);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void Run(const std::string& input) {
  Current() = input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::vector<std::string> ReadCorpus(const std::string& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return seeds;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>& seeds) : seeds_(seeds) {}

  std::string Next() {
    std::string text = seeds_[Below(seeds_.size())];
    const size_t changes = 1 + Below(4);
    for (size_t i = 0; i < changes; ++i) Change(text);
    return text.substr(0, 4096);
  }

 private:
  size_t Below(size_t end) { return end == 0 ? 0 : random_() % end; }

  void Change(std::string& text) {
    const size_t at = Below(text.size() + 1);
    const std::string& other = seeds_[Below(seeds_.size())];
    const size_t from = Below(other.size() + 1);
    switch (Below(6)) {
      case 0:  // a bit
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << Below(8)));
        break;
      case 1:  // a byte that is likely to matter
        text.insert(at, 1, "{}[]()\"':,.-+*/\\!<>=&|% \n\t0129eEix\0\xff"[Below(38)]);
        break;
      case 2:
        text.erase(at, 1 + Below(8));
        break;
      case 3:  // a part of itself again
        text.insert(at, text.substr(Below(text.size() + 1), Below(32)));
        break;
      case 4:  // a part of another seed
        text.insert(at, other.substr(from, Below(32)));
        break;
      default:  // the end of another seed
        text = text.substr(0, at) + other.substr(from);
    }
  }

  const std::vector<std::string>& seeds_;
  std::mt19937 random_{1};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " CORPUS_DIR MUTATIONS\n";
    return 2;
  }
  for (int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL, SIGALRM})
    std::signal(signal, ReportInput);
  const std::vector<std::string> seeds = ReadCorpus(argv[1]);
  if (seeds.empty()) {
    std::cerr << argv[1] << " has no seeds\n";
    return 2;
  }
  for (const std::string& seed : seeds) Run(seed);
  Mutator mutator(seeds);
  const int mutations = std::atoi(argv[2]);
  for (int i = 0; i < mutations; ++i) {
    alarm(10);  // an input that takes so long is a finding
    Run(mutator.Next());
  }
  std::cout << seeds.size() << " seeds and " << mutations << " mutations\n";
  return 0;
}
