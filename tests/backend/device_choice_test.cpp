// What --device means, on machines of every kind.
#include "src/backend/device_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/backend.h"
#include "krait/error.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using cuda::Gpu, cuda::GpuList, cuda::GpuSupport;
using testing::HasSubstr;

const Gpu kHopper{"NVIDIA H100", 9, 0}, kAmpere{"NVIDIA A100", 8, 0}, kVolta{"Tesla V100", 7, 0};

GpuList machine(std::vector<Gpu> gpus) {
  return {GpuSupport::available, 13000, 13000, "", std::move(gpus)};
}
GpuList without(GpuSupport support, int32_t driver = 0) {
  return {support, driver, 13000, "unknown error", {}};
}

std::string refusal(const std::string& device, const GpuList& list) {
  return test::message_of<InputError>([&] { choose_device(device, list); });
}

TEST(DeviceChoiceTest, AutoAndCudaTakeTheFirstGpuThatCanBeUsed) {
  for (const std::string device : {"auto", "cuda"}) {
    EXPECT_EQ(choose_device(device, machine({kHopper, kAmpere})).gpu, 0);
    EXPECT_EQ(choose_device(device, machine({kVolta, kAmpere})).gpu, 1);
  }
}

TEST(DeviceChoiceTest, CpuAsksForNothing) {
  for (const GpuList& list : {machine({kHopper}), without(GpuSupport::failed)}) {
    const DeviceChoice choice = choose_device("cpu", list);
    EXPECT_EQ(choice.gpu, std::nullopt);
    EXPECT_EQ(choice.note, "");
  }
}

TEST(DeviceChoiceTest, ANumberChoosesThatGpu) {
  EXPECT_EQ(choose_device("cuda:0", machine({kHopper, kAmpere})).gpu, 0);
  EXPECT_EQ(choose_device("cuda:1", machine({kHopper, kAmpere})).gpu, 1);
}

TEST(DeviceChoiceTest, NumbersThatAreNoneOrTooLargeAreRefusedSayingHowManyThereAre) {
  const GpuList two = machine({kHopper, kAmpere});
  for (const std::string device : {"cuda:2", "cuda:-1", "cuda:", "cuda:x", "cuda:1x", "cuda:+1",
                                   "cuda:99999999999999999999", "cuda: 1"})
    EXPECT_EQ(refusal(device, two),
              "--device " + device + ": expected a number from 0 to 1: there are 2 GPUs");
  EXPECT_EQ(refusal("cuda:1", machine({kHopper})),
            "--device cuda:1: expected a number from 0 to 0: there is one GPU");
}

TEST(DeviceChoiceTest, EveryObstacleHasItsMessage) {
  for (const std::string device : {"cuda", "cuda:0"}) {
    const auto says = [&](const GpuList& list) { return refusal(device, list); };
    EXPECT_THAT(says(without(GpuSupport::not_built)),
                AllOf(HasSubstr("--device " + device + ": this krait was built without CUDA"),
                      HasSubstr("use --device cpu")));
    EXPECT_THAT(says(without(GpuSupport::no_driver)), HasSubstr("there is no NVIDIA driver"));
    EXPECT_THAT(
        says(without(GpuSupport::old_driver, 12040)),
        HasSubstr("the NVIDIA driver supports CUDA 12.4, expected 13.0 or newer; update the "
                  "driver, or use --device cpu"));
    EXPECT_THAT(says(without(GpuSupport::failed)),
                HasSubstr("the NVIDIA driver does not answer: unknown error"));
    EXPECT_THAT(says(machine({})), HasSubstr("the NVIDIA driver knows no GPU"));
    EXPECT_THAT(says(machine({kVolta})),
                HasSubstr("Tesla V100 has compute capability 7.0; expected 8.0 or higher"));
  }
  EXPECT_THAT(refusal("cuda:1", machine({kHopper, kVolta})), HasSubstr("Tesla V100"));
  EXPECT_THAT(refusal("tpu", machine({kHopper})), HasSubstr("expected auto, cpu or cuda[:N]"));
}

TEST(DeviceChoiceTest, AutoFallsBackAndSaysWhyLoudlyWhereAGpuIsThere) {
  const auto note = [](const GpuList& list) {
    const DeviceChoice choice = choose_device("auto", list);
    EXPECT_EQ(choice.gpu, std::nullopt);
    return std::pair(choice.note, choice.unused_gpu);
  };
  EXPECT_THAT(note(without(GpuSupport::not_built)),
              testing::Pair(HasSubstr("no GPU is used: this krait was built without"), false));
  EXPECT_THAT(note(without(GpuSupport::no_driver)),
              testing::Pair("no GPU is used: there is no NVIDIA driver", false));
  EXPECT_THAT(note(machine({})), testing::Pair(HasSubstr("knows no GPU"), false));
  EXPECT_THAT(note(without(GpuSupport::old_driver, 12080)),
              testing::Pair(HasSubstr("CUDA 12.8"), true));
  EXPECT_THAT(note(without(GpuSupport::failed)), testing::Pair(HasSubstr("not answer"), true));
  EXPECT_THAT(note(machine({kVolta})), testing::Pair(HasSubstr("7.0"), true));
}

// Whatever this machine has.
TEST(DeviceChoiceTest, TheBackendOfAutoTellsWhyItIsTheCpu) {
  std::string warned;
  BackendOptions options;
  options.threads = 1;
  options.warn = [&](const std::string& text) { warned += text; };
  const auto info = make_backend(options)->info();
  if (info.name == "cpu") {
    EXPECT_THAT(info.note + warned, HasSubstr("no GPU is used: "));
  }
  options.device = "cpu";
  EXPECT_EQ(make_backend(options)->info().note, "");
}

TEST(MakeBackendTest, NumbersOfThreadsOutsideTheRangeAndUnknownDevicesAreRefused) {
  EXPECT_THAT(test::message_of<InputError>([] {
                make_backend({"cpu", "auto", -3});
              }),
              HasSubstr("--threads -3: expected 1 to 512"));
  EXPECT_THROW(make_backend({"cpu", "auto", 513}), InputError);
  EXPECT_THAT(test::message_of<InputError>([] {
                make_backend({"tpu", "auto", 1});
              }),
              HasSubstr("--device tpu: expected auto, cpu or cuda[:N]"));
}

}  // namespace
}  // namespace krait
