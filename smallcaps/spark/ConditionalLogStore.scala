package smallcaps

import java.io.IOException
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.FileAlreadyExistsException
import java.util.{Iterator, UUID}

import scala.jdk.CollectionConverters._

import io.delta.storage.S3SingleDriverLogStore
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Path

/** Delta's log on S3, where a commit is put on condition that there is none of its version (docs/adr/0009).
  *
  * Delta's own store for S3 looks first and then puts, behind a lock that other processes do not see.
  */
class ConditionalLogStore(conf: Configuration) extends S3SingleDriverLogStore(conf) {
  private val Mark = "smallcaps-commit"

  override def write(path: Path, actions: Iterator[String], overwrite: java.lang.Boolean, conf: Configuration): Unit =
    if (overwrite) super.write(path, actions, overwrite, conf) else put(path, actions, conf)

  private def put(path: Path, actions: Iterator[String], conf: Configuration): Unit = {
    // All of it before the first byte is sent: closing a stream half-way would make a commit of half the actions.
    val content = actions.asScala.map(_ + "\n").mkString.getBytes(UTF_8)
    val files = path.getFileSystem(conf)
    val mark = UUID.randomUUID.toString
    val builder = files.createFile(path).overwrite(false)
    builder.must("fs.option.create.conditional.overwrite", true)
    builder.must(s"fs.s3a.create.header.$Mark", mark)
    val stream = builder.build()
    stream.write(content)
    try stream.close()
    catch {
      // A PUT whose answer was lost is sent again and refused because of itself, so the refusal alone says nothing.
      case refused: IOException =>
        if (!files.exists(path)) throw refused
        val found = files.getXAttr(path, s"header.$Mark")
        if (found == null || new String(found, UTF_8) != mark) throw new FileAlreadyExistsException(path.toString)
    }
  }
}
