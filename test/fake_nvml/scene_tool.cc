// fake_nvml_scene: changes a scene while programs use it.
//
//   fake_nvml_scene SCENE show
//   fake_nvml_scene SCENE set JSON            JSON merge patch (RFC 7386) of the whole state
//   fake_nvml_scene SCENE gpu INDEX JSON      likewise, of one GPU
//   fake_nvml_scene SCENE event INDEX TYPE [DATA]   TYPE: nvmlEventType*, a number; DATA: an XID
//   fake_nvml_scene SCENE remove INDEX        the GPU is there no more
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "test/fake_nvml/scene.h"

namespace {

using fake_nvml::Json;

Json& GpuAt(Json& state, const std::string& index) { return state["gpus"].at(std::stoul(index)); }

bool Change(const std::vector<std::string>& words, Json& state) {
  const std::string& what = words.at(0);
  if (what == "show")
    std::cout << state.dump(1) << "\n";
  else if (what == "set")
    state.merge_patch(Json::parse(words.at(1)));
  else if (what == "gpu")
    GpuAt(state, words.at(1)).merge_patch(Json::parse(words.at(2)));
  else if (what == "remove")
    state["gpus"].erase(std::stoul(words.at(1)));
  else if (what == "event")
    fake_nvml::AddEvent(state, GpuAt(state, words.at(1))["uuid"],
                        std::strtoull(words.at(2).c_str(), nullptr, 0),
                        words.size() > 3 ? std::stoull(words[3]) : 0);
  else
    throw fake_nvml::BadScene("no such command: " + what);
  return what != "show";
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) throw fake_nvml::BadScene("usage: fake_nvml_scene SCENE COMMAND ...");
  const std::vector<std::string> words(argv + 2, argv + argc);
  fake_nvml::Scene(argv[1]).With([&](Json& state) { return Change(words, state); });
  return 0;
} catch (const std::exception& problem) {
  std::cerr << "fake_nvml_scene: " << problem.what() << "\n";
  return 1;
}
