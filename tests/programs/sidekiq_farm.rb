# Sidekiq, unmodified, doing a farm's work: sidekiq_farm.rb PORT DATABASE; its server is a process of its own, which loads this file as well.
require 'sidekiq'
require 'sidekiq/api'
require 'sidekiq/scheduled'

Redis.sadd_returns_boolean = false # of two meanings Sidekiq hasn't chosen one, and redis-rb complains
PLACE = ENV['FARM'] ||= "redis://127.0.0.1:#{ARGV[0]}/#{ARGV[1]}"
Sidekiq.configure_client { |config| config.redis = { url: PLACE } }
Sidekiq.configure_server do |config|
  config.redis = { url: PLACE }
end

def note(command, *arguments, **options)
  Sidekiq.redis { |connection| connection.public_send(command, *arguments, **options) }
end

class Grow
  include Sidekiq::Worker
  sidekiq_options retry: 5

  def perform(what)
    raise 'not yet' if what.start_with?('flaky') && note(:hincrby, 'tries', what, 1) < 3
    note(:rpush, 'grown', what)
  end
end

class Fail
  include Sidekiq::Worker
  sidekiq_options retry: 1, backtrace: 1
  sidekiq_retries_exhausted { |job, _| note(:rpush, 'given up', job['args'][0]) }

  def perform(what)
    note(:hincrby, 'tries', what, 1)
    raise ArgumentError, what
  end
end

class Forget
  include Sidekiq::Worker
  sidekiq_options retry: false

  def perform(what)
    raise "forgotten: #{note(:hincrby, 'tries', what, 1)}"
  end
end

$results = []
def check(name, is_so)
  $results << is_so
  puts "#{is_so ? 'ok' : 'not ok'} - sidekiq: #{name}"
end

def wait_until
  sleep 0.01 until yield
end

def main
  30.times { |i| Grow.perform_async("plain #{i}") }
  Sidekiq::Client.push_bulk('class' => Grow, 'args' => Array.new(20) { |i| ["bulk #{i}"] })
  3.times do |i|
    Grow.perform_async("flaky #{i}")
    Fail.perform_async("failing #{i}")
    Forget.perform_async("forgotten #{i}")
    Grow.perform_in(0.2 * (i + 1), "later #{i}")
    Grow.set(queue: 'low').perform_async("low #{i}")
  end
  doomed = Grow.perform_async('doomed')
  check 'what is queued', Sidekiq::Queue.new.size == 30 + 20 + 9 + 1 && Sidekiq::Queue.new('low').size == 3 && Sidekiq::ScheduledSet.new.size == 3
  check 'one is found and deleted', Sidekiq::Queue.new.find_job(doomed).delete
  tomorrow = Grow.perform_in(86_400, 'tomorrow')
  never = Grow.perform_in(86_400, 'never')
  check 'so is one that is scheduled', Sidekiq::ScheduledSet.new.find_job(never).delete && Sidekiq::ScheduledSet.new.find_job(tomorrow)

  # Two servers, of one thread each.
  out = ENV['FARM_LOG'] || File::NULL
  servers = Array.new(2) { spawn({ 'FARM' => PLACE }, 'sidekiq', '-r', File.expand_path(__FILE__), '-c', '1', '-q', 'default', '-q', 'low', in: File::NULL, out: out, err: out) }
  begin
    # A retry's delay is drawn, and at least a second long; the servers look for what is due every few seconds. Here both go as fast as they can.
    wait_until do
      Sidekiq::Scheduled::Enq.new.enqueue_jobs
      Sidekiq::RetrySet.new.each(&:add_to_queue)
      note(:llen, 'grown') == 30 + 20 + 3 + 3 + 3 && note(:llen, 'given up') == 3 && note(:hvals, 'tries').sum(&:to_i) == 3 * 3 + 3 * 2 + 3
    end
    wait_until { Sidekiq::ProcessSet.new.size == 2 && Sidekiq::Workers.new.size == 0 }
    check 'both servers are known', Sidekiq::ProcessSet.new.map { |process| process['concurrency'] } == [1, 1]
  ensure
    servers.each { |pid| Process.kill('TERM', pid) }
    statuses = servers.map { |pid| Process.wait2(pid)[1].exitstatus }
  end
  check 'servers end', statuses == [0, 0] && Sidekiq::ProcessSet.new(false).size == 0
  grown = note(:lrange, 'grown', 0, -1)
  check 'none is lost and none is doubled', grown.uniq.size == grown.size && grown.size == 59 && !grown.include?('doomed')
  check 'retries', note(:hgetall, 'tries').all? { |what, n| n == { 'fla' => '3', 'fai' => '2', 'for' => '1' }[what[0, 3]] }
  stats = Sidekiq::Stats.new
  check 'statistics', stats.processed == 59 + 2 * 3 + 2 * 3 + 3 && stats.failed == 2 * 3 + 2 * 3 + 3 && stats.dead_size == 3 && stats.scheduled_size == 1
  dead = Sidekiq::DeadSet.new
  check 'the dead are kept', dead.map { |job| job['args'][0] }.sort == ['failing 0', 'failing 1', 'failing 2']
  dead.find { |job| job['args'][0] == 'failing 1' }.retry
  check 'one of them is queued again', dead.size == 2 && Sidekiq::Queue.new.size == 1
  %w[grown given\ up].each { |list| note(:sort, list, order: 'ALPHA', store: list) } # the two servers' order is their own
  exit($results.all?)
end

main if $PROGRAM_NAME == __FILE__
