// The forms in which `krait bench` gives its results.
#include "src/cli/bench_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace krait::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

BenchSubject subject(const std::string& model = "/tmp/130m") {
  DeviceInfo device;
  device.name = "cpu";
  device.detail = "AMD \"EPYC\"";
  device.isa = "avx512";
  device.threads = 2;
  return {model, "q8_0", "", device, 136 << 20, 129'140'000};
}

BenchResult decode() {
  BenchResult r;
  r.n_gen = 128;
  r.depth = 4096;
  r.batch = 4;
  r.tok_s = {90, 110, 100};
  r.tok_s_median = 100;
  r.tok_s_deviation = 10;
  r.gb_s = 16.5;
  r.roof_gb_s = 33;
  r.roof_share = 0.5;
  r.gflop_s = 18;
  r.roof_gflop_s = 180;
  r.gflop_share = 0.1;
  r.peak_rss_bytes = 158'000'000;
  return r;
}

BenchResult prefill() {
  BenchResult r = decode();
  r.n_prompt = 512;
  r.n_gen = r.depth = 0;
  r.batch = 1;
  r.gb_s = r.roof_gb_s = r.roof_share = 0;
  return r;
}

const Startup kStartup = {.load_ms = 12.5, .n_prompt = 8, .first_token_ms = 3, .process_ms = 20};

TEST(BenchOutput, EveryFormHasItsName) {
  EXPECT_EQ(parse_bench_format("md"), BenchFormat::markdown);
  EXPECT_EQ(parse_bench_format("csv"), BenchFormat::csv);
  EXPECT_EQ(parse_bench_format("json"), BenchFormat::json);
  EXPECT_EQ(parse_bench_format("jsonl"), BenchFormat::jsonl);
  EXPECT_EQ(parse_bench_format("xml"), std::nullopt);
}

TEST(BenchOutput, NamesOfTests) {
  EXPECT_EQ(test_name(prefill()), "pp512");
  EXPECT_EQ(test_name(decode()), "tg128 x4 @ d4096");
  EXPECT_EQ(test_name({.n_prompt = 5, .n_gen = 4}), "pp5+tg4");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1)
    lines.push_back(text.substr(begin, end - begin));
  return lines;
}

// All that the writer gives for a start, then the two tests; the order of calls matters.
std::string written(BenchFormat format) {
  BenchWriter writer(format, subject());
  std::string text = writer.begin();
  text += writer.row(kStartup);
  text += writer.row(decode());
  text += writer.row(prefill());
  return text + writer.end();
}

TEST(BenchOutput, MarkdownLinesUp) {
  const auto lines = lines_of(written(BenchFormat::markdown));
  ASSERT_EQ(lines.size(), 9u);
  const std::string same = "| 130m q8_0 | 136.00 MiB |  129.14 M | cpu avx512 |       2 |";
  EXPECT_EQ(lines[0],
            "| model     |       size |    params | backend    | threads |             test |"
            "                t/s |   GB/s | memory | GFLOP/s | arithmetic |");
  EXPECT_EQ(lines[1],
            "| --------- | ---------: | --------: | ---------- | ------: | ---------------: |"
            " -----------------: | -----: | -----: | ------: | ---------: |");
  const std::string none = "        |        |         |            |";
  EXPECT_EQ(lines[2], same + "             load |            12.5 ms |" + none);
  EXPECT_EQ(lines[3], same + "      first token |             3.0 ms |" + none);
  EXPECT_EQ(lines[4], same + "      since start |            20.0 ms |" + none);
  EXPECT_EQ(lines[5], same +
                          " tg128 x4 @ d4096 |     100.00 ± 10.00 |"
                          "   16.5 |    50% |      18 |        10% |");
  EXPECT_EQ(lines[6], same +
                          "            pp512 |     100.00 ± 10.00 |"
                          "        |        |      18 |        10% |");
  EXPECT_EQ(lines[8],
            "AMD \"EPYC\"; read bandwidth 33.0 GB/s; arithmetic 180 GFLOP/s; peak memory 158.0 MB");
}

TEST(BenchOutput, CsvHasTheSameColumnsInEveryRow) {
  const auto lines = lines_of(written(BenchFormat::csv));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0],
            "model,dtype,act,device,cpu,isa,threads,parameters,test,batch,n_prompt,n_gen,depth,"
            "tok_s_median,tok_s_min,tok_s_max,tok_s_deviation,weight_bytes_per_token,gb_s,"
            "roof_gb_s,roof_share,gflop_s,roof_gflop_s,gflop_share,peak_rss_bytes,load_ms,"
            "first_token_ms,process_ms");
  const std::string same = R"("/tmp/130m","q8_0",,"cpu","AMD ""EPYC""","avx512",2,129140000,)";
  EXPECT_EQ(lines[1], same + R"("startup",1,8,1,0,,,,,142606336,,,,,,,,12.5,3.0,20.0)");
  EXPECT_EQ(lines[2], same + R"("tg128 x4 @ d4096",4,0,128,4096,100.0,90.0,110.0,10.0,142606336,)" +
                          "16.5,33.0,0.5,18.0,180.0,0.1,158000000,,,");
  EXPECT_EQ(lines[3], same + R"("pp512",1,512,0,0,100.0,90.0,110.0,10.0,142606336,)" +
                          ",,,18.0,180.0,0.1,158000000,,,");
}

TEST(BenchOutput, JsonIsOneArrayAndJsonlOneObjectALine) {
  BenchWriter none(BenchFormat::json, subject());  // interrupted before the first
  const std::string begin = none.begin();
  EXPECT_EQ(json::parse(begin + none.end()).size(), 0u);
  const auto values = json::parse(written(BenchFormat::json));
  ASSERT_EQ(values.size(), 3u);
  const auto lines = lines_of(written(BenchFormat::jsonl));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(json::parse(lines[0]), values[0]);
  EXPECT_EQ(json::parse(lines[1]), values[1]);
  EXPECT_EQ(values[0]["first_token_ms"], 3);
  EXPECT_EQ(values[0]["tok_s"], nullptr);
  EXPECT_EQ(values[1]["tok_s"]["all"], json({90, 110, 100}));
  EXPECT_EQ(values[1]["tok_s"]["min"], 90);
  EXPECT_EQ(values[1]["batch"], 4);
  EXPECT_EQ(values[1]["load_ms"], nullptr);
  EXPECT_EQ(json::parse(lines[2])["gb_s"], nullptr);
}

TEST(BenchOutput, RoundedActivationsAreNamed) {
  BenchSubject rounded = subject();
  rounded.dtype = rounded.act = "bf16";
  EXPECT_THAT(BenchWriter(BenchFormat::markdown, rounded).row(prefill()),
              HasSubstr("| 130m bf16, act bf16 |"));
  EXPECT_EQ(json::parse(BenchWriter(BenchFormat::jsonl, rounded).row(prefill()))["act"], "bf16");
  EXPECT_EQ(json::parse(BenchWriter(BenchFormat::jsonl, subject()).row(prefill()))["act"], nullptr);
}

TEST(BenchOutput, APathIsShownByItsLastPartAndAnIdWhole) {
  const auto row = [](const std::string& model) {
    return BenchWriter(BenchFormat::markdown, subject(model)).row(prefill());
  };
  EXPECT_THAT(row("/models/a b/"), HasSubstr("| a b q8_0 |"));
  EXPECT_THAT(row("./x.gguf"), HasSubstr("| x.gguf q8_0 |"));
  EXPECT_THAT(row("owner/name"), HasSubstr("| owner/name q8_0 |"));
  EXPECT_THAT(row("/"), HasSubstr("|  q8_0 |"));
}

}  // namespace
}  // namespace krait::cli
